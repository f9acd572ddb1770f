"""State machines as data, and the function `transition`, which makes all changes of a state column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Generic, TypeVar

import sqlalchemy as sa

from pearlstreet.base.errors import BugError, Conflict
from pearlstreet.base.text import Text, text
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import state_events

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class StateTable(Generic[S, E]):
    """State machine of one kind of object: the permitted transitions (state, event) → state, and the terminal states."""

    name: str
    moves: Mapping[tuple[S, E], S]
    terminal: frozenset[S]

    def next_state(self, state: S, event: E) -> S:
        """Return the state that `event` leads to. Raises Conflict when `state` does not permit the event."""
        target = self.moves.get((state, event))
        if target is None:
            raise Conflict(
                text(
                    "A {kind} that is {state} cannot {event}",
                    kind=self.name,
                    state=state.value,
                    event=event.value,
                )
            )
        return target

    def allows(self, state: S, event: E) -> bool:
        """Return whether `state` permits the event."""
        return (state, event) in self.moves


def transition(
    tx: Tx,
    table: sa.Table,
    row_id: str,
    states: StateTable[S, E],
    state: S,
    event: E,
    *,
    reason: Text | None = None,
    lease_token: str | None = None,
    values: Mapping[str, object] | None = None,
) -> S:
    """Change the state of a row (and any other `values`), record the change in its timeline, and return the new state.

    Raises Conflict for a transition that is not permitted, StaleWrite when the row is no longer in `state` or its lease
    was lost.
    """
    target = states.next_state(state, event)
    given = {"of_row": row_id, "was_state": state.value, "state": target.value, **(values or {})}
    if lease_token is not None:
        given["of_token"] = lease_token
    if tx.execute(_move(table, lease_token is not None), given).rowcount != 1:
        raise StaleWrite(row_id)
    record_transition(tx, row_id, state.value, target.value, event.value, reason)
    return target


@cache
def _move(table: sa.Table, leased: bool) -> sa.Update:
    """Return the statement that moves a row; built once, because building one costs far more than running it."""
    where = [table.c.id == sa.bindparam("of_row"), table.c.state == sa.bindparam("was_state")]
    if leased:
        where.append(table.c.lease_token == sa.bindparam("of_token"))
    return sa.update(table).where(*where)


_NOTE = sa.insert(state_events)


def record_transition(
    tx: Tx, row_id: str, before: str | None, after: str, event: str, reason: Text | None = None
) -> None:
    """Add a line to a thing's timeline."""
    tx.execute(
        _NOTE,
        {
            "entity_id": row_id,
            "from_state": before,
            "to_state": after,
            "event": event,
            "reason": reason.to_json() if reason else None,
            "at_us": tx.now_us,
        },
    )


class StaleWrite(BugError):
    """Another writer has changed the row meanwhile; the caller must drop its decision and read the row again."""

    code = "stale_write"

    def __init__(self, row_id: str) -> None:
        super().__init__(text("{row} was changed meanwhile", row=row_id))
