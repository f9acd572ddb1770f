"""Faults by clients and operators: repeated requests, revoked keys, cut quotas, drained nodes, bursts."""

from __future__ import annotations

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.faults.kind import FaultContext


def sent_twice(context: FaultContext) -> None:
    """A request arrives twice under one Idempotency-Key."""
    context.subject.again = True
    context.took_effect = True


def body_changed(context: FaultContext) -> None:
    """An Idempotency-Key is used again with another body."""
    context.subject.changed = True
    context.took_effect = True


def key_revoked(context: FaultContext) -> None:
    """A tenant's API key is revoked; the tenant gets a new one after the first refusal."""
    context.took_effect = context.world.clients.revoke_key()


def quota_cut(context: FaultContext) -> None:
    """A tenant's quota is set, perhaps below its present use."""
    context.took_effect = context.world.clients.cut_quota()


def balance_gone(context: FaultContext) -> None:
    """A tenant's credit is gone."""
    context.took_effect = context.world.clients.take_money()


def price_change(context: FaultContext) -> None:
    """Prices change while jobs run."""
    context.took_effect = context.world.clients.change_prices()


def budget_hit(context: FaultContext) -> None:
    """A budget is set that is reached at once or soon."""
    context.took_effect = context.world.clients.set_budget()


def urgent_job(context: FaultContext) -> None:
    """A tenant submits an urgent job that needs a whole node."""
    context.took_effect = context.world.clients.submit_urgent()


def burst(context: FaultContext) -> None:
    """A tenant submits four jobs at once."""
    context.took_effect = context.world.clients.submit_burst()


def node_drained(context: FaultContext) -> None:
    """A node is drained while jobs run on it."""
    context.took_effect = context.world.clients.drain()


def plan_outdated(context: FaultContext) -> None:
    """A quota or node changes after a plan was made from it and before the plan is written."""
    if "plan_jobs" in context.server.busy:
        clients = context.world.clients
        context.took_effect = context.world.luck.pick((clients.cut_quota, clients.drain))()


def org_suspended(context: FaultContext) -> None:
    """A tenant is suspended with jobs queued and running."""
    context.took_effect = context.world.clients.suspend()


def cancel_in_flight(context: FaultContext) -> Outcome[object]:
    """A job is cancelled after the engine started it and before the start is recorded."""
    answer = context.call()
    context.took_effect = context.world.clients.cancel_attempt(context.key)
    return answer
