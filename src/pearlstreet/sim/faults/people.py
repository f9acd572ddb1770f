"""What people do at the worst moment: repeat, revoke, spend, cut, drain, rush."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.faults.kind import Moment


def sent_twice(moment: Moment) -> None:
    """A request arrives twice under one Idempotency-Key."""
    moment.subject.again = True
    moment.struck = True


def body_changed(moment: Moment) -> None:
    """A key is used again with another body."""
    moment.subject.changed = True
    moment.struck = True


def key_revoked(moment: Moment) -> None:
    """A tenant's key is revoked; it works on with the next one only when the first is refused."""
    moment.struck = moment.world.people.revoke_key()


def quota_cut(moment: Moment) -> None:
    """A tenant may have less at once than it has."""
    moment.struck = moment.world.people.cut_quota()


def balance_gone(moment: Moment) -> None:
    """A tenant's money is gone."""
    moment.struck = moment.world.people.take_money()


def price_change(moment: Moment) -> None:
    """Prices change while jobs run."""
    moment.struck = moment.world.people.change_prices()


def budget_hit(moment: Moment) -> None:
    """A budget is set below what was spent."""
    moment.struck = moment.world.people.set_budget()


def urgent_job(moment: Moment) -> None:
    """An account with a guarantee claims what others borrow."""
    moment.struck = moment.world.people.submit_urgent()


def burst(moment: Moment) -> None:
    """A tenant submits ten times as much as usual."""
    moment.struck = moment.world.people.submit_burst()


def node_drained(moment: Moment) -> None:
    """A node is drained under its jobs."""
    moment.struck = moment.world.people.drain()


def plan_outdated(moment: Moment) -> None:
    """What a plan was made from changes before it is written."""
    if "plan_jobs" in moment.server.busy:
        people = moment.world.people
        moment.struck = moment.world.luck.pick((people.cut_quota, people.drain))()


def org_suspended(moment: Moment) -> None:
    """A tenant is suspended with jobs queued and running."""
    moment.struck = moment.world.people.suspend()


def cancel_in_flight(moment: Moment) -> Outcome[Any]:
    """A job is cancelled between the engine's start and the note of it."""
    answer = moment.call()
    moment.struck = moment.world.people.cancel_attempt(moment.key)
    return answer
