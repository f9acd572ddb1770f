"""Commands share one commit and nothing else; reads see one moment and change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.things import add, ids, thing, things, with_things

from pearlstreet.base.errors import BugError, Conflict, Unavailable
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database


@pytest.fixture
def kept(store: Store) -> Store:
    return with_things(store)


def test_each_of_many_writers_gets_its_own_answer(kept: Store) -> None:
    def one(number: int) -> int:
        def command(tx: Tx) -> int:
            add(tx, f"t{number:03d}", value=number)
            if number % 5 == 0:
                raise Conflict(f"no {number}")
            return number

        return kept.write(command)

    with ThreadPoolExecutor(16) as pool:
        answers: list[Future[int]] = [pool.submit(one, number) for number in range(200)]
    for number, answer in enumerate(answers):
        if number % 5 == 0:
            with pytest.raises(Conflict, match=f"no {number}$"):
                answer.result()
        else:
            assert answer.result() == number
    assert ids(kept) == [f"t{number:03d}" for number in range(200) if number % 5]


def test_commands_that_wait_together_share_a_commit(kept: Store) -> None:
    commits = _count_commits(kept)
    gate, started = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        started.set()
        gate.wait(10)

    first = kept.submit(slow)
    started.wait(10)
    waiting = [kept.submit(lambda tx, number=number: add(tx, f"t{number}")) for number in range(40)]
    gate.set()
    for future in (first, *waiting):
        future.result(10)
    assert commits == ["COMMIT"] * 2
    assert len(ids(kept)) == 40


def _count_commits(store: Store) -> list[str]:
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement == "COMMIT":
            seen.append(statement)

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    return seen


def test_a_constraint_broken_by_one_command_leaves_its_neighbours(kept: Store) -> None:
    gate, started = threading.Event(), threading.Event()
    first = kept.submit(lambda tx: (started.set(), gate.wait(10), add(tx, "a")))
    started.wait(10)
    twice = kept.submit(lambda tx: (add(tx, "b"), add(tx, "a")))
    after = kept.submit(lambda tx: add(tx, "c"))
    gate.set()
    first.result(10)
    with pytest.raises(sa.exc.IntegrityError):
        twice.result(10)
    after.result(10)
    assert ids(kept) == ["a", "c"]


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, MemoryError])
def test_no_exception_of_a_command_ends_the_writer(kept: Store, ending: type[BaseException]) -> None:
    def command(tx: Tx) -> None:
        add(tx, "lost")
        raise ending

    with pytest.raises(ending):
        kept.write(command)
    kept.write(lambda tx: add(tx, "kept"))
    assert ids(kept) == ["kept"]


def test_a_caller_that_gave_up_does_not_disturb_the_others(kept: Store) -> None:
    gate, started = threading.Event(), threading.Event()
    first = kept.submit(lambda tx: (started.set(), gate.wait(10)))
    started.wait(10)
    given_up = kept.submit(lambda tx: add(tx, "given-up"))
    patient = kept.submit(lambda tx: add(tx, "patient"))
    assert given_up.cancel()
    assert not first.cancel(), "a command under way can no longer be cancelled"
    gate.set()
    patient.result(10)
    assert ids(kept) == ["patient"]


def test_a_command_inside_a_command_is_a_bug_not_a_standstill(kept: Store) -> None:
    with pytest.raises(BugError):
        kept.write(lambda tx: kept.write(lambda inner: add(inner, "a")))
    assert ids(kept) == []


def test_readers_cannot_write(kept: Store) -> None:
    with pytest.raises(BugError, match="a query writes nothing"):
        kept.read(lambda tx: add(tx, "a"))
    assert ids(kept) == []
    kept.write(lambda tx: add(tx, "b"))


def test_in_memory_readers_cannot_write_either() -> None:
    store = with_things(Store(Database("sqlite://")))
    with pytest.raises(BugError, match="a query writes nothing"):
        store.read(lambda tx: add(tx, "a"))
    store.write(lambda tx: add(tx, "b"))
    assert ids(store) == ["b"]
    store.close()


def test_a_reader_sees_one_moment(kept: Store) -> None:
    kept.write(lambda tx: (add(tx, "a", value=50), add(tx, "b", value=50)))

    def move(tx: Tx) -> None:
        tx.execute(sa.update(things).where(things.c.id == "a").values(value=things.c.value - 1))
        tx.execute(sa.update(things).where(things.c.id == "b").values(value=things.c.value + 1))

    def look(tx: Tx) -> tuple[int, int]:
        first = tx.scalar(sa.select(things.c.value).where(things.c.id == "a"))
        writer = threading.Thread(target=kept.write, args=(move,))
        writer.start()
        writer.join(10)
        return first, tx.scalar(sa.select(things.c.value).where(things.c.id == "b"))

    for moved in range(5):
        assert kept.read(look) == (50 - moved, 50 + moved)
    assert thing(kept, "a")["value"] == 45


def test_hints_fire_after_the_commit_and_only_then(kept: Store) -> None:
    seen: list[list[str]] = []
    kept.hints.listen("new", lambda: seen.append(ids(kept)))

    def command(fail: bool) -> Callable[[Tx], None]:
        def run(tx: Tx) -> None:
            add(tx, f"fail={fail}")
            tx.hint("new")
            if fail:
                raise Conflict("no")

        return run

    with pytest.raises(Conflict):
        kept.write(command(True))
    kept.write(command(False))
    assert seen == [["fail=False"]]


def test_closing_finishes_what_was_asked_and_refuses_the_rest(tmp_path: Path) -> None:
    store = with_things(Store(Database(f"sqlite:///{tmp_path}/pearl.db")))
    answers = [store.submit(lambda tx, number=number: add(tx, f"t{number}")) for number in range(100)]
    store.close()
    for answer in answers:
        answer.result(0)
    with pytest.raises(Unavailable):
        store.write(lambda tx: add(tx, "late"))
    store.close()
    again = Store(Database(f"sqlite:///{tmp_path}/pearl.db"))
    assert len(ids(again)) == 100
    again.close()


def test_two_processes_writers_take_turns(kept: Store) -> None:
    """Two Databases stand for two processes: read-modify-write in both loses no step."""
    other = Store(Database(kept.database.url.render_as_string(hide_password=False)))
    kept.write(lambda tx: add(tx, "a"))

    def step(tx: Tx) -> None:
        value = tx.scalar(sa.select(things.c.value).where(things.c.id == "a"))
        tx.execute(sa.update(things).where(things.c.id == "a").values(value=value + 1))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit((kept, other)[number % 2].write, step) for number in range(100)]:
            future.result()
    other.close()
    assert thing(kept, "a")["value"] == 100
