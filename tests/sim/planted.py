"""Bugs put into the product for a while: each is a mistake somebody could make, and the simulator must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.outcome import Refused, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import applying, lifecycle, metering, watching
from pearlstreet.compute.jobs.tables import allocations
from pearlstreet.ledger import posting
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
    before = lifecycle.ask_stop

    def ask_stop(tx: Any, attempt: Any, why: Any, reason: Any) -> None:
        before(tx, attempt, why, reason)
        tx.execute(sa.delete(allocations).where(allocations.c.attempt_id == attempt["id"]))

    return _put(lifecycle, "ask_stop", ask_stop)


def space_not_rechecked() -> AbstractContextManager[None]:
    """The applier believes the planner: what changed since the cycle read its rows is not looked at."""
    return _put(applying.Space, "take", lambda space, placement, ask: True)


def repeats_run_again() -> AbstractContextManager[None]:
    """An Idempotency-Key is not looked at."""
    return _put(OnceClaim, "run", lambda claim, tx, command: command(tx))


def hold_kept() -> AbstractContextManager[None]:
    """The end of an attempt does not settle its hold."""
    return _put(metering, "settle_hold", lambda tx, hold_id: None)


def metered_past_the_end() -> AbstractContextManager[None]:
    """The meter does not ask the engine whether the attempt still runs."""
    return _put(metering, "_ran_until", lambda runtime, store, row: store.clock.now_us())


def unknown_taken_for_refused() -> AbstractContextManager[None]:
    """A start whose answer was lost counts as one that did not happen."""
    before = watching._apply_start

    def apply_start(tx: Any, row_id: str, token: str, context: Any, start: Any, outcome: Any) -> Any:
        if isinstance(outcome, Unknown):
            outcome = Refused("no_answer", text("The engine gave no answer"))
        return before(tx, row_id, token, context, start, outcome)

    return _put(watching, "_apply_start", apply_start)


def cancel_forgotten() -> AbstractContextManager[None]:
    """A cancel of a job that runs stops its attempt without noting why: it is queued again."""
    before = lifecycle.decide_end

    def decide_end(row: Any, attempt: Any, *, lost: int = 0) -> Any:
        if attempt["stop_reason"] == "cancelled":
            row = {**row, "cancel_requested": False}
            attempt = {**attempt, "stop_reason": "withdrawn"}
        return before(row, attempt, lost=lost)

    return _put(lifecycle, "decide_end", decide_end)


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
    )
}
