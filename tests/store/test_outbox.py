"""Events leave in the order of their commands, at least once, and never twice under one number."""

from __future__ import annotations

import pytest

from pearlstreet.base.errors import Conflict
from pearlstreet.store import outbox
from pearlstreet.store.core import Store, Tx


def _emit(store: Store, *names: str) -> None:
    store.write(lambda tx: [outbox.emit(tx, "job", {"name": name}) for name in names])


def _consume(store: Store, consumer: str, *, limit: int = 500, crash: bool = False) -> list[str]:
    found = store.read(lambda tx: outbox.pending(tx, consumer, limit=limit))
    if found and not crash:
        store.write(lambda tx: outbox.advance(tx, consumer, found[-1]["seq"]))
    return [event["payload"]["name"] for event in found]


def test_events_come_in_order_once_acknowledged_and_again_until_then(store: Store) -> None:
    _emit(store, "a", "b")
    _emit(store, "c")
    assert _consume(store, "mail", crash=True) == ["a", "b", "c"]
    assert _consume(store, "mail", limit=2) == ["a", "b"]
    assert _consume(store, "mail") == ["c"]
    assert _consume(store, "mail") == []
    assert _consume(store, "billing") == ["a", "b", "c"], "each consumer has its own place"


def test_a_failed_command_leaves_no_event(store: Store) -> None:
    def fail(tx: Tx) -> None:
        outbox.emit(tx, "job", {"name": "never"})
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.write(fail)
    assert _consume(store, "mail") == []


def test_a_cursor_never_goes_back(store: Store) -> None:
    _emit(store, "a", "b")
    last = store.read(lambda tx: outbox.pending(tx, "mail"))[-1]["seq"]
    store.write(lambda tx: outbox.advance(tx, "mail", last))
    store.write(lambda tx: outbox.advance(tx, "mail", last - 1))
    assert _consume(store, "mail") == []


def test_delivered_events_are_forgotten_and_numbers_never_come_again(store: Store) -> None:
    store.write(lambda tx: outbox.advance(tx, "slow", 0))
    _emit(store, "a", "b")
    assert _consume(store, "mail") == ["a", "b"]
    forget = lambda tx: outbox.forget_delivered(tx, before_us=tx.now_us)  # noqa: E731
    assert store.write(forget) == 0, "a slower consumer still needs them"
    assert _consume(store, "slow") == ["a", "b"]
    assert store.write(lambda tx: outbox.forget_delivered(tx, before_us=0)) == 0, "too young"
    assert store.write(forget) == 2
    _emit(store, "c")
    assert _consume(store, "mail") == ["c"], "an emptied table must not start its numbers over"
