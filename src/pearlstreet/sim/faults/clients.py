"""What people do at the worst moment: repeat, revoke, spend, cut, drain, rush."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.faults.kind import FaultContext


def sent_twice(context: FaultContext) -> None:
    """A request arrives twice under one Idempotency-Key."""
    context.subject.again = True
    context.took_effect = True


def body_changed(context: FaultContext) -> None:
    """A key is used again with another body."""
    context.subject.changed = True
    context.took_effect = True


def key_revoked(context: FaultContext) -> None:
    """A tenant's key is revoked; it works on with the next one only when the first is refused."""
    context.took_effect = context.world.clients.revoke_key()


def quota_cut(context: FaultContext) -> None:
    """A tenant may have less at once than it has."""
    context.took_effect = context.world.clients.cut_quota()


def balance_gone(context: FaultContext) -> None:
    """A tenant's money is gone."""
    context.took_effect = context.world.clients.take_money()


def price_change(context: FaultContext) -> None:
    """Prices change while jobs run."""
    context.took_effect = context.world.clients.change_prices()


def budget_hit(context: FaultContext) -> None:
    """A budget is set below what was spent."""
    context.took_effect = context.world.clients.set_budget()


def urgent_job(context: FaultContext) -> None:
    """An account with a guarantee claims what others borrow."""
    context.took_effect = context.world.clients.submit_urgent()


def burst(context: FaultContext) -> None:
    """A tenant submits ten times as much as usual."""
    context.took_effect = context.world.clients.submit_burst()


def node_drained(context: FaultContext) -> None:
    """A node is drained under its jobs."""
    context.took_effect = context.world.clients.drain()


def plan_outdated(context: FaultContext) -> None:
    """What a plan was made from changes before it is written."""
    if "plan_jobs" in context.server.busy:
        clients = context.world.clients
        context.took_effect = context.world.luck.pick((clients.cut_quota, clients.drain))()


def org_suspended(context: FaultContext) -> None:
    """A tenant is suspended with jobs queued and running."""
    context.took_effect = context.world.clients.suspend()


def cancel_in_flight(context: FaultContext) -> Outcome[Any]:
    """A job is cancelled between the engine's start and the note of it."""
    answer = context.call()
    context.took_effect = context.world.clients.cancel_attempt(context.key)
    return answer
