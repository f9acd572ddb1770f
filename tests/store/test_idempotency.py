"""The same key and body give the same answer for a day, whatever happens in between; failures keep nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from tests.store.things import add, ids, on_virtual_time, with_things

from pearlstreet.base.errors import BugError, Conflict, IdempotencyMismatch, InvalidInput
from pearlstreet.store import idempotency as kept
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.idempotency import OnceClaim, Replayed, fingerprint, forget_old
from pearlstreet.store.tables import idempotency

DAY_S = 24 * 3600


def _claim(key: str = "k", body: bytes = b"{}", scope: str = "key_1") -> OnceClaim:
    return OnceClaim(
        scope, key, fingerprint("POST", "/api/v1/jobs", body), lambda result: f"made {result}".encode()
    )


def _make(tx: Tx) -> str:
    row_id = tx.new_id("thing")
    add(tx, row_id)
    return row_id


def test_a_repetition_gets_the_first_answer_and_makes_nothing(store: Store) -> None:
    with_things(store)
    first = store.once(_claim()).write(_make)
    for _ in range(3):
        with pytest.raises(Replayed) as replay:
            store.once(_claim()).write(_make)
        assert replay.value.body == f"made {first}".encode()
    assert ids(store) == [first]


def test_another_body_under_the_same_key_is_refused(store: Store) -> None:
    with_things(store)
    store.once(_claim()).write(_make)
    with pytest.raises(IdempotencyMismatch):
        store.once(_claim(body=b"{ }")).write(_make)
    assert len(ids(store)) == 1


def test_keys_of_other_callers_do_not_meet(store: Store) -> None:
    with_things(store)
    store.once(_claim(scope="key_1")).write(_make)
    store.once(_claim(scope="key_2", body=b"other")).write(_make)
    assert len(ids(store)) == 2


def test_a_failed_command_keeps_nothing(store: Store) -> None:
    with_things(store)

    def fail(tx: Tx) -> str:
        _make(tx)
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.once(_claim()).write(fail)
    made = store.once(_claim(body=b"{}")).write(_make)
    assert ids(store) == [made]


def test_requests_at_the_same_time_make_one_thing(store: Store) -> None:
    with_things(store)

    def request(_: int) -> bytes:
        try:
            return f"made {store.once(_claim()).write(_make)}".encode()
        except Replayed as replay:
            return replay.body

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(request, range(24)))
    assert answers == {f"made {ids(store)[0]}".encode()}
    assert len(ids(store)) == 1


def test_a_key_is_free_again_after_a_day(store: Store) -> None:
    store, clock = on_virtual_time(store)
    store.once(_claim()).write(_make)
    clock.advance(DAY_S - 1)
    with pytest.raises(Replayed):
        store.once(_claim()).write(_make)
    clock.advance(1)
    store.once(_claim(body=b"another")).write(_make)
    with pytest.raises(Replayed):
        store.once(_claim(body=b"another")).write(_make)
    assert len(ids(store)) == 2


def test_old_answers_are_deleted(store: Store) -> None:
    store, clock = on_virtual_time(store)
    store.once(_claim("old")).write(_make)
    clock.advance(DAY_S - 1)
    store.once(_claim("new")).write(_make)
    assert store.write(forget_old) == 0
    clock.advance(1)
    assert store.write(forget_old) == 1
    with pytest.raises(Replayed):
        store.once(_claim("new")).write(_make)


def test_kept_answers_are_unreadable_in_the_database(store: Store) -> None:
    with_things(store)
    store.once(replace(_claim(), encode=lambda _: b"pearl_secret")).write(_make)
    kept = store.read(lambda tx: tx.scalar(sa.select(idempotency.c.body)))
    assert b"secret" not in bytes(kept)


def test_a_request_that_writes_twice_is_told(store: Store) -> None:
    with_things(store)
    handle = store.once(_claim())
    handle.write(_make)
    with pytest.raises(BugError):
        handle.write(_make)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\x00b"])
def test_an_impossible_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="255"):
        _claim(key)


def test_only_the_newest_answers_of_one_caller_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = on_virtual_time(store)
    monkeypatch.setattr(kept, "ANSWERS_MAX", 3)
    for number in range(5):
        store.once(_claim(f"k{number}", scope=f"ada key_{number % 2}")).write(_make)
        store.once(_claim(f"p{number}", scope=f"public 192.0.2.{number}")).write(_make)
        clock.advance(1)
    store.once(_claim("other", scope="bob key_1")).write(_make)
    assert store.write(forget_old) == 2
    rows = store.read(lambda tx: tx.rows(sa.select(idempotency.c.key)))
    assert {row["key"] for row in rows} == {"k2", "k3", "k4", "other", *(f"p{n}" for n in range(5))}
    assert store.write(forget_old) == 0


def test_large_answers_of_one_caller_are_dropped_sooner(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = on_virtual_time(store)
    for number in range(4):
        store.once(_claim(f"k{number}", scope="ada key_1")).write(_make)
        clock.advance(1)
    size = store.read(lambda tx: tx.scalar(sa.select(sa.func.length(idempotency.c.body)).limit(1)))
    monkeypatch.setattr(kept, "BYTES_MAX", 2 * size)
    assert store.write(forget_old) == 2
    with pytest.raises(Replayed):
        store.once(_claim("k3", scope="ada key_1")).write(_make)
