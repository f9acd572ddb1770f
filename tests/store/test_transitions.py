"""A state changes by a legal move of a row that is still as it was seen, and its timeline tells."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.store.things import THING_STATES, ThingEvent, ThingState, add, thing, things, with_things

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import from_json, text
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import StaleWrite, transition


@pytest.fixture
def kept(store: Store) -> Store:
    with_things(store).write(lambda tx: add(tx, "a"))
    return store


def _age(tx: Tx, state: ThingState = ThingState.NEW, lease_token: str | None = None) -> ThingState:
    return transition(
        tx,
        things,
        "a",
        THING_STATES,
        state,
        ThingEvent.AGE,
        reason=text("{years} years went by", years=3),
        lease_token=lease_token,
        values={"value": 3},
    )


def _timeline(store: Store) -> list[tuple[str, str, str]]:
    rows = store.read(lambda tx: tx.rows(sa.select(state_events).order_by(state_events.c.seq)))
    return [(row["from_state"], row["to_state"], str(from_json(row["reason"]))) for row in rows]


def test_a_move_changes_the_row_and_its_timeline_together(kept: Store) -> None:
    assert kept.write(_age) is ThingState.OLD
    assert (thing(kept, "a")["state"], thing(kept, "a")["value"]) == ("old", 3)
    assert _timeline(kept) == [("new", "old", "3 years went by")]


def test_an_illegal_move_is_refused_in_plain_words(kept: Store) -> None:
    with pytest.raises(Conflict, match="A thing that is old cannot age"):
        kept.write(lambda tx: _age(tx, ThingState.OLD))


def test_a_row_that_moved_on_or_whose_lease_was_lost_is_left_as_it_is(kept: Store) -> None:
    with pytest.raises(StaleWrite):
        kept.write(lambda tx: _age(tx, lease_token="not ours"))
    assert thing(kept, "a")["state"] == "new"
    kept.write(_age)
    with pytest.raises(StaleWrite):
        kept.write(_age)
    assert len(_timeline(kept)) == 1
