"""Bugs put into the product for a while: each is a mistake somebody could make, and the simulator must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.outcome import Done, Refused, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.execution import attempt_loops, metering, metering_loop, watch_loop
from pearlstreet.compute.execution import lifecycle as attempt_lifecycle
from pearlstreet.compute.execution.tables import allocations
from pearlstreet.compute.jobs import (
    collecting,
    lifecycle,
    orders,
    resource_request,
    service,
    views,
)
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing import plan_applier
from pearlstreet.ledger import book, posting, refunds, statement
from pearlstreet.ledger.tables import funds
from pearlstreet.store import leases
from pearlstreet.store.idempotency import OnceClaim


@contextmanager
def _put(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def charged_twice() -> AbstractContextManager[None]:
    """Posting forgets to mark the spans it has charged."""
    return _put(posting, "_mark", lambda tx, rows: None)


def devices_freed_at_the_request_to_stop() -> AbstractContextManager[None]:
    """A stop frees the devices when it is asked for, not when the work is over."""
    before = attempt_lifecycle.note_stop

    def note_stop(tx: Any, attempt: Any, why: Any) -> bool:
        noted = before(tx, attempt, why)
        tx.execute(sa.delete(allocations).where(allocations.c.attempt_id == attempt["id"]))
        return noted

    return _put(attempt_lifecycle, "note_stop", note_stop)


def space_not_rechecked() -> AbstractContextManager[None]:
    """The applier believes the planner: what changed since the cycle read its rows is not looked at."""
    return _put(plan_applier.RemainingCapacity, "take", lambda remaining, placement, ask: True)


def repeats_run_again() -> AbstractContextManager[None]:
    """An Idempotency-Key is not looked at."""
    return _put(OnceClaim, "run", lambda claim, tx, command: command(tx))


def hold_kept() -> AbstractContextManager[None]:
    """The end of an attempt does not settle its hold."""
    return _put(metering, "settle_hold", lambda tx, hold_id: None)


def metered_past_the_end() -> AbstractContextManager[None]:
    """The meter does not look whether the engine still reports the attempt as running."""
    return _put(metering_loop, "_ran_until", lambda view, true_us, attempt_id: true_us)


def unknown_taken_for_refused() -> AbstractContextManager[None]:
    """A start whose answer was lost counts as one that did not happen."""
    before = attempt_loops._apply_start

    def apply_start(
        execution: Any, tx: Any, row_id: str, token: str, context: Any, start: Any, outcome: Any
    ) -> Any:
        if isinstance(outcome, Unknown):
            outcome = Refused("no_answer", text("The engine gave no answer"))
        return before(execution, tx, row_id, token, context, start, outcome)

    return _put(attempt_loops, "_apply_start", apply_start)


def cancel_forgotten() -> AbstractContextManager[None]:
    """A cancel of a job that runs stops its attempt without noting why: it is queued again."""
    before = lifecycle.decide_end

    def decide_end(row: Any, attempt: Any, *, lost: int = 0) -> Any:
        if attempt["stop_reason"] == "cancelled":
            row = {**row, "cancel_requested": False}
            attempt = {**attempt, "stop_reason": "withdrawn"}
        return before(row, attempt, lost=lost)

    return _put(lifecycle, "decide_end", decide_end)


def lease_not_looked_at() -> AbstractContextManager[None]:
    """A loop writes what it decided although another has leased the row meanwhile."""
    return _put(leases, "holds", lambda tx, table, row_id, token: True)


def planner_without_its_lease() -> AbstractContextManager[None]:
    """A server writes plans while another has the planner's lease."""
    return _put(plan_applier.Applier, "_leads", lambda applier, tx, before: True)


def gang_one_short() -> AbstractContextManager[None]:
    """The order for a gang lacks its last task."""
    before = orders.build_order

    def build_order(tx: Any, runtime: Any, attempt: Any) -> Any:
        order = before(tx, runtime, attempt)
        return replace(order, tasks=order.tasks[:-1]) if len(order.tasks) > 1 else order

    return _put(orders, "build_order", build_order)


def gang_placed_one_short() -> AbstractContextManager[None]:
    """The request of a gang is read with one task less than was submitted."""
    before = resource_request.ask_of

    def ask_of(*given: Any, **named: Any) -> Any:
        ask = before(*given, **named)
        return replace(ask, tasks=ask.tasks - 1) if ask.tasks > 1 and not ask.max_tasks else ask

    return _put(service, "ask_of", ask_of)


def refunded_twice() -> AbstractContextManager[None]:
    """A refund moves its money a second time."""
    before = book.post

    def post(tx: Any, drafts: Any) -> Any:
        posted = before(tx, drafts)
        before(tx, [replace(draft, reference=f"again/{draft.reference}") for draft in drafts])
        return posted

    return _put(refunds, "post", post)


def refund_of_more_than_was_charged() -> AbstractContextManager[None]:
    """A refund gives back twice its charge."""
    before: Any = refunds._draft

    def double(row: Any, reason: Any) -> Any:
        return before({**row, "amount_micro": 2 * row["amount_micro"]}, reason)

    return _put(refunds, "_draft", double)


class _NeverStops:
    """An engine that is not told to stop."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def stop(self, attempt_id: str, *, grace_s: float) -> Done[None]:
        return Done(None)


def given_up_without_a_stop() -> AbstractContextManager[None]:
    """An attempt that its engine does not know is given up without a stop: a request on its way starts it late."""
    before: Any = watch_loop._Watch._compare

    def compare(watch: Any, store: Any, row: Any, report: Any) -> Any:
        with _put(watch._view, "engine", _NeverStops(watch._view.engine)):
            return before(watch, store, row, report)

    return _put(watch_loop._Watch, "_compare", compare)


def statement_of_everybody() -> AbstractContextManager[None]:
    """The account statement forgets its tenant filter."""
    before = statement.read_statement

    def read_statement(tx: Any, org_id: str, *rest: Any) -> Any:
        orgs = tx.execute(sa.select(funds.c.org_id)).scalars().all()
        return [proxy for org in orgs for proxy in before(tx, org, *rest)]

    return _put(statement, "read_statement", read_statement)


def jobs_of_everybody() -> AbstractContextManager[None]:
    """The list of jobs forgets its tenant filter."""
    return _put(views, "_conditions", lambda tx, actor, wanted: [jobs.c.array_id.is_(None)])


def stored_but_not_counted() -> AbstractContextManager[None]:
    """Outputs are kept and the storage level does not rise."""
    return _put(collecting, "change_level", lambda tx, org_id, project_id, more_bytes: None)


def request_left_behind() -> AbstractContextManager[None]:
    """The waiting request stays when an attempt is placed for it."""
    return _put(plan_applier, "withdraw_request", lambda tx, owner_id: None)


BUGS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    bug.__name__: bug
    for bug in (
        charged_twice,
        devices_freed_at_the_request_to_stop,
        space_not_rechecked,
        repeats_run_again,
        hold_kept,
        metered_past_the_end,
        unknown_taken_for_refused,
        cancel_forgotten,
        lease_not_looked_at,
        planner_without_its_lease,
        gang_one_short,
        gang_placed_one_short,
        refunded_twice,
        refund_of_more_than_was_charged,
        given_up_without_a_stop,
        statement_of_everybody,
        jobs_of_everybody,
        stored_but_not_counted,
        request_left_behind,
    )
}
