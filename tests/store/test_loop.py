"""The frame of every loop: what is decided is written once, by whoever holds the lease; what fails comes again later."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.things import (
    THING_STATES,
    ThingEvent,
    ThingState,
    add,
    on_virtual_time,
    thing,
    things,
    with_things,
)

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import BugError, Unavailable
from pearlstreet.store import loop as frame
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, LoopRunner, RowLoop
from pearlstreet.store.tables import loop_failures, outbox
from pearlstreet.store.transitions import transition

Row = Mapping[str, Any]


@pytest.fixture
def world(store: Store) -> tuple[Store, VirtualClock]:
    return on_virtual_time(store)


def _load(tx: Tx, row_ids: Sequence[str]) -> Mapping[str, Row]:
    return {row["id"]: row for row in tx.rows(sa.select(things).where(things.c.id.in_(row_ids)))}


def _apply(tx: Tx, row_id: str, token: str, row: Row, decision: int, outcome: int) -> int | None:
    tx.execute(sa.update(things).where(things.c.id == row_id).values(value=outcome))
    return None


def _loop(act: Callable[[int], int] = lambda value: value + 1, **changes: Any) -> RowLoop[Row, int, int]:
    made: RowLoop[Row, int, int] = RowLoop(
        name="count",
        table=things,
        conditions=(),
        account=things.c.org_id,
        load=_load,
        decide=lambda row, now: row["value"],
        act=act,
        apply=_apply,
    )
    return replace(made, **changes)


def _failures(store: Store) -> list[tuple[str, int, bool]]:
    rows = store.read(lambda tx: tx.rows(sa.select(loop_failures)))
    return sorted((row["row_id"], row["failures"], row["quarantined"]) for row in rows)


def test_due_rows_are_worked_on_and_let_go(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "abc"] + [add(tx, "idle")])
    assert _loop().step(store) is False
    assert [thing(store, name)["value"] for name in ("a", "b", "c", "idle")] == [1, 1, 1, 0]
    assert all(thing(store, name)["lease_token"] is None for name in "abc")
    assert _loop().step(store) is False
    assert thing(store, "a")["value"] == 1, "not due again"


def test_a_full_batch_asks_for_another_step(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "abc"])
    small = _loop(batch=2)
    assert small.step(store) is True
    assert small.step(store) is False


def test_accounts_take_turns_whoever_has_the_older_rows(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, f"a{n:03d}", due_us=n, org="greedy") for n in range(200)])
    store.write(lambda tx: [add(tx, f"b{n}", due_us=900 + n, org="small") for n in range(2)])
    done: list[int] = []
    step = _loop(done.append, batch=4, workers=1, apply=lambda *_: None)  # type: ignore[arg-type]
    store.write(lambda tx: tx.execute(sa.update(things).values(value=things.c.due_us)))
    assert step.step(store) is True
    assert done == [0, 900, 1, 901]
    step.step(store)
    assert done[4:] == [2, 3, 4, 5]


def test_slow_rows_of_one_account_leave_a_lane_to_the_others(world: tuple[Store, VirtualClock]) -> None:
    """Its rows take for ever: they hold all lanes but one, and another's row is done meanwhile."""
    store, _ = world
    store.write(lambda tx: [add(tx, f"a{n}", due_us=n, value=1, org="slow") for n in range(40)])
    release, working = threading.Event(), threading.Semaphore(0)

    def act(value: int) -> int:
        if value == 1:
            working.release()
            assert release.wait(60)
        return value + 10

    lanes = _loop(act, batch=2, workers=2, lanes=3)
    threads = [threading.Thread(target=lanes.step, args=(store,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        assert working.acquire(timeout=60)
    try:
        assert lanes.step(store) is False, "the last lane takes none of its rows"
        store.write(lambda tx: add(tx, "b", due_us=999, value=2, org="other"))
        lanes.step(store)
        assert thing(store, "b")["value"] == 12
    finally:
        release.set()
        for thread in threads:
            thread.join(60)
    assert lanes.step(store) is True, "its other rows go on"


def test_a_worker_whose_lease_was_taken_writes_nothing(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))

    def slow(value: int) -> int:
        clock.advance(200)
        assert _loop(lambda value: value + 10).step(store) is False
        return value + 1

    _loop(slow).step(store)
    assert thing(store, "a")["value"] == 10
    assert _failures(store) == []


def test_a_worker_that_stood_still_past_its_leases_begins_nothing(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    store.write(lambda tx: add(tx, "b", due_us=0))
    done: list[int] = []

    def stands_still(value: int) -> int:
        done.append(value)
        clock.advance(200)
        return value + 1

    _loop(stands_still, workers=1).step(store)
    assert done == [0], "the other row's lease was over, too"
    assert sorted(thing(store, row)["value"] for row in "ab") == [0, 1]
    for _ in range(2):
        _loop().step(store)
    assert [thing(store, row)["value"] for row in "ab"] == [1, 1]
    assert _failures(store) == []


def test_a_row_changed_meanwhile_is_looked_at_again_at_once(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: add(tx, "a", due_us=0))

    def age(tx: Tx) -> None:
        transition(tx, things, "a", THING_STATES, ThingState.NEW, ThingEvent.AGE)

    def apply(tx: Tx, row_id: str, token: str, row: Row, decision: int, outcome: int) -> int | None:
        transition(tx, things, row_id, THING_STATES, ThingState.NEW, ThingEvent.AGE, lease_token=token)
        return None

    def act(value: int) -> int:
        store.write(age)
        return value

    _loop(act, apply=apply).step(store)
    row = thing(store, "a")
    assert row["state"] == "old"
    assert row["lease_token"] is None
    _loop().step(store)
    assert thing(store, "a")["value"] == 1
    assert _failures(store) == []


def test_failures_back_off_and_are_forgotten_after_a_success(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))

    def broken(value: int) -> int:
        raise OSError("far end is away")

    waits = []
    for _ in range(9):
        _loop(broken).step(store)
        waits.append(round((thing(store, "a")["due_us"] - clock.now_us()) / 1e6))
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert _failures(store) == [("a", 9, False)]
    _loop().step(store)
    assert thing(store, "a")["value"] == 1
    assert _failures(store) == []


def test_a_row_that_breaks_our_promises_is_left_alone_and_reported(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: (add(tx, "bad", due_us=0, value=-1), add(tx, "good", due_us=0)))

    def act(value: int) -> int:
        if value < 0:
            raise BugError("cannot be")
        return value + 1

    for _ in range(frame.QUARANTINE_AFTER + 2):
        _loop(act).step(store)
        clock.advance(61)
    assert _failures(store) == [("bad", frame.QUARANTINE_AFTER, True)]
    assert thing(store, "bad")["due_us"] is None
    assert thing(store, "good")["value"] == 1
    assert [row["row_id"] for row in store.read(frame.failing)] == ["bad"]


def test_operators_are_told_of_a_row_that_is_given_up(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    for number in range(1, frame.QUARANTINE_AFTER + 1):
        told = store.read(lambda tx: tx.rows(sa.select(outbox)))
        assert not told, f"after {number - 1} failures"
        store.write(lambda tx: frame.note_failure(tx, "count", "bad", BugError("cannot be")))
    (told,) = store.read(lambda tx: tx.rows(sa.select(outbox)))
    assert told["topic"] == "incident"
    problem = told["payload"].pop("problem")
    assert "cannot be" in problem
    assert told["payload"] == {"loop": "count", "row": "bad", "failures": frame.QUARANTINE_AFTER}


def test_failures_are_counted_by_loop_and_row(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    counted = [
        store.write(lambda tx, loop=loop, row=row: frame.note_failure(tx, loop, row, OSError("away")))[0]
        for loop, row in (("one", "a"), ("one", "a"), ("two", "a"), ("one", "b"), ("two", "a"))
    ]
    assert counted == [1, 2, 1, 1, 2]
    store.write(lambda tx: frame.forget_failure(tx, "one", "a"))
    left = {(row["loop"], row["row_id"]): row["failures"] for row in store.read(frame.failing)}
    assert left == {("two", "a"): 2, ("one", "b"): 1}


def test_only_what_was_given_up_is_retried(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: (add(tx, "bad"), add(tx, "away", due_us=5)))
    for _ in range(frame.QUARANTINE_AFTER):
        store.write(lambda tx: frame.note_failure(tx, "count", "bad", BugError("cannot be")))
    store.write(lambda tx: frame.note_failure(tx, "count", "away", OSError("away")))
    assert store.write(lambda tx: frame.retry_quarantined(tx, [things])) == 1
    assert [row["row_id"] for row in store.read(frame.failing)] == ["away"], "it is still failing"
    assert thing(store, "away")["due_us"] == 5


def test_a_guard_never_gives_a_row_up_and_forgets_those_that_are_gone(
    world: tuple[Store, VirtualClock],
) -> None:
    store, clock = world
    guard = frame.RowGuard("watch")

    def fail() -> None:
        raise BugError("cannot be")

    assert not guard.rests(store, "row")
    for number in range(frame.QUARANTINE_AFTER + 2):
        guard.run(store, "row", fail)
        assert guard.rests(store, "row")
        clock.advance(frame.backoff_s(number + 1) - 0.001)
        assert guard.rests(store, "row"), "until its time is over"
        clock.advance(0.001)
        assert not guard.rests(store, "row")
    assert _failures(store) == [("row", frame.QUARANTINE_AFTER + 2, False)]
    guard.run(store, "row", fail)
    guard.keep(["row"])
    assert guard.rests(store, "row")
    guard.keep(["other"])
    assert not guard.rests(store, "row"), "a row that is gone is not remembered"


def test_a_row_not_worth_a_look_beside_one_that_cannot_be_loaded_is_given_back(
    world: tuple[Store, VirtualClock],
) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "abc"])

    def load(tx: Tx, row_ids: Sequence[str]) -> Mapping[str, Row]:
        if "b" in row_ids:
            raise ValueError("b cannot be read")
        return {key: row for key, row in _load(tx, row_ids).items() if key != "c"}

    _loop(load=load).step(store)
    assert (thing(store, "c")["lease_token"], thing(store, "c")["due_us"]) == (None, None)


def test_rows_of_a_batch_are_worked_on_side_by_side(sqlite_store: Store) -> None:
    store = with_things(sqlite_store)
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "ab"])
    meeting = threading.Barrier(2, timeout=30)

    def act(value: int) -> int:
        meeting.wait()  # breaks, and the row fails, unless the other one is worked on, too
        return value + 1

    _loop(act, workers=2).step(store)
    assert [thing(store, name)["value"] for name in "ab"] == [1, 1]


def test_a_loop_with_one_worker_does_one_row_at_a_time_in_its_own_thread(sqlite_store: Store) -> None:
    store = with_things(sqlite_store)
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "ab"])
    seen: list[int] = []

    def act(value: int) -> int:
        seen.append(threading.get_ident())
        return value

    _loop(act, workers=1).step(store)
    assert seen == [threading.get_ident()] * 2


def test_a_restart_looks_anew_at_what_was_given_up(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: (add(tx, "bad", value=-1), add(tx, "idle")))
    error = BugError("cannot be")
    for _ in range(frame.QUARANTINE_AFTER):
        store.write(lambda tx: frame.note_failure(tx, "count", "bad", error))
    (given_up,) = store.read(frame.failing)
    assert given_up["quarantined"]
    assert store.write(lambda tx: frame.retry_quarantined(tx, [things])) == 1
    assert thing(store, "bad")["due_us"] == clock.now_us()
    assert thing(store, "idle")["due_us"] is None
    assert store.read(frame.failing) == []


def test_one_row_that_was_given_up_is_looked_at_anew(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    store.write(lambda tx: (add(tx, "bad", value=-1), add(tx, "worse", value=-2)))
    for row in ("bad", "worse"):
        for _ in range(frame.QUARANTINE_AFTER):
            store.write(lambda tx, row=row: frame.note_failure(tx, "count", row, BugError("cannot be")))
    assert store.write(lambda tx: frame.retry_quarantined(tx, [things], loop="other", row_id="bad")) == 0
    assert store.write(lambda tx: frame.retry_quarantined(tx, [things], loop="count", row_id="bad")) == 1
    assert thing(store, "bad")["due_us"] == clock.now_us()
    assert [row["row_id"] for row in store.read(frame.failing)] == ["worse"]


def test_a_guard_reports_a_bad_row_and_tries_it_ever_more_seldom(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world
    guard, tried = frame.RowGuard("watch"), []

    def fail() -> None:
        tried.append(clock.now_us())
        raise ValueError("bad")

    for _ in range(100):
        guard.run(store, "row", fail)
        clock.advance(0.2)
    assert 3 <= len(tried) <= 6
    assert _failures(store) == [("row", len(tried), False)]
    clock.advance(61)
    guard.run(store, "row", lambda: None)
    assert _failures(store) == []


def test_a_row_that_cannot_be_loaded_does_not_stop_the_others(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "abc"])

    def load(tx: Tx, row_ids: Sequence[str]) -> Mapping[str, Row]:
        if "b" in row_ids:
            raise ValueError("b cannot be read")
        return _load(tx, row_ids)

    _loop(load=load).step(store)
    assert [thing(store, name)["value"] for name in "abc"] == [1, 0, 1]
    assert _failures(store) == [("b", 1, False)]


def test_rows_not_worth_a_look_are_given_back(world: tuple[Store, VirtualClock]) -> None:
    store, _ = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    _loop(load=lambda tx, row_ids: {}).step(store)
    assert thing(store, "a")["lease_token"] is None
    assert thing(store, "a")["due_us"] is None
    store.write(lambda tx: tx.execute(sa.update(things).values(due_us=0)))
    _loop(decide=lambda row, now: None).step(store)
    assert (thing(store, "a")["value"], thing(store, "a")["lease_token"]) == (0, None)


def test_rows_held_while_the_store_was_down_are_taken_up_when_it_is_back(
    world: tuple[Store, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    down = threading.Event()
    write = store.database.write

    def failing(run: Callable[[Any], Any]) -> Any:
        if down.is_set():
            raise Unavailable("down")
        return write(run)

    def act(value: int) -> int:
        down.set()
        return value + 1

    monkeypatch.setattr(store.database, "write", failing)
    loop = _loop(act)
    loop.step(store)
    loop.step(store)
    assert (thing(store, "a")["value"], thing(store, "a")["lease_token"] is None) == (0, False)
    down.clear()
    replace(loop, act=lambda value: value + 1).step(store)
    assert (thing(store, "a")["value"], thing(store, "a")["lease_token"]) == (1, None), (
        "with no wait for the lease's end"
    )


@pytest.fixture
def running() -> Iterator[list[LoopRunner]]:
    runners: list[LoopRunner] = []
    yield runners
    for runner in runners:
        runner.stop()


def test_a_hint_wakes_a_sleeping_loop(sqlite_store: Store, running: list[LoopRunner]) -> None:
    store = with_things(sqlite_store)
    stepped = threading.Semaphore(0)

    def cycle(_: Store) -> bool:
        stepped.release()
        return False

    runner = LoopRunner(store, [CycleLoop("sleeper", cycle, hints=("new",), interval_s=3600)])
    running.append(runner)
    runner.start()
    assert stepped.acquire(timeout=10)
    assert not stepped.acquire(timeout=0.03)
    store.write(lambda tx: (add(tx, "a"), tx.hint("new")))
    assert stepped.acquire(timeout=10)


def test_a_loop_that_fails_goes_on(sqlite_store: Store, running: list[LoopRunner]) -> None:
    calls: list[int] = []
    healed = threading.Event()

    def cycle(_: Store) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("once")
        healed.set()
        return False

    runner = LoopRunner(sqlite_store, [CycleLoop("weak", cycle, interval_s=0.01)])
    running.append(runner)
    runner.start()
    assert healed.wait(10)


def test_a_row_that_takes_long_does_not_hold_up_those_that_come_later(
    sqlite_store: Store, running: list[LoopRunner]
) -> None:
    store = with_things(sqlite_store)
    begun, over, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def act(value: int) -> int:
        if value == 100:
            begun.set()
            assert over.wait(60)
        return value + 1

    def apply(tx: Tx, row_id: str, token: str, row: Row, decision: int, outcome: int) -> int | None:
        done.release()
        return _apply(tx, row_id, token, row, decision, outcome)

    loop = _loop(act=act, apply=apply, lanes=3, batch=2, hints=("new",), interval_s=3600)
    runner = LoopRunner(store, [loop])
    running.append(runner)
    runner.start()
    try:
        store.write(lambda tx: (add(tx, "big", value=100, due_us=0), tx.hint("new")))
        assert begun.wait(30)
        for number in range(5):
            store.write(lambda tx, name=f"small{number}": (add(tx, name, due_us=0), tx.hint("new")))
            assert done.acquire(timeout=30), "it waits for the big one"
        assert thing(store, "big")["value"] == 100
    finally:
        over.set()
    assert done.acquire(timeout=30)


class GatedLanes:
    """A loop of two lanes whose steps begin and end when the test says."""

    name, interval_s, hints, lanes = "gated", 3600.0, ("new",), 2

    def __init__(self) -> None:
        self.begun: queue.Queue[threading.Event] = queue.Queue()

    def step(self, store: Store) -> bool:
        gate = threading.Event()
        self.begun.put(gate)
        assert gate.wait(60)
        return False


def test_a_hint_that_one_lane_took_up_is_not_lost_to_another(
    sqlite_store: Store, running: list[LoopRunner]
) -> None:
    store, gated = with_things(sqlite_store), GatedLanes()
    runner = LoopRunner(store, [gated])
    running.append(runner)
    runner.start()
    first, second = gated.begun.get(timeout=30), gated.begun.get(timeout=30)
    gates = [second]
    try:
        first.set()
        store.write(lambda tx: tx.hint("new"))
        gates.append(gated.begun.get(timeout=30))  # it may work for long on what it found
        second.set()
        gates.append(gated.begun.get(timeout=30))  # the hint came after the second lane had read
    finally:
        for gate in gates:
            gate.set()


@dataclass
class CountedSteps:
    """The loop, with a signal for each step that found nothing more to do."""

    loop: RowLoop[Row, int, int]
    at_rest: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.name, self.interval_s = self.loop.name, self.loop.interval_s
        self.hints, self.lanes = self.loop.hints, self.loop.lanes

    def step(self, store: Store) -> bool:
        more = self.loop.step(store)
        if not more:
            self.at_rest.release()
        return more


def test_rows_left_alone_because_their_account_fills_the_lanes_are_taken_when_one_of_them_ends(
    sqlite_store: Store, running: list[LoopRunner]
) -> None:
    store = with_things(sqlite_store)
    begun, done = threading.Semaphore(0), threading.Semaphore(0)
    gates = {1: threading.Event(), 2: threading.Event()}

    def act(value: int) -> int:
        begun.release()
        assert value not in gates or gates[value].wait(60)
        return value

    def apply(tx: Tx, row_id: str, token: str, row: Row, decision: int, outcome: int) -> int | None:
        done.release()
        return None

    counted = CountedSteps(_loop(act, apply=apply, lanes=3, batch=2, hints=("new",), interval_s=3600))
    runner = LoopRunner(store, [counted])
    running.append(runner)
    runner.start()
    try:
        for _ in range(3):
            assert counted.at_rest.acquire(timeout=30)
        for value in gates:
            store.write(
                lambda tx, value=value: (add(tx, f"slow{value}", value=value, due_us=0), tx.hint("new"))
            )
            assert begun.acquire(timeout=30)
        while counted.at_rest.acquire(timeout=0.2):  # whoever woke beside the two sleeps again
            pass
        store.write(lambda tx: (add(tx, "small", value=3, due_us=0), tx.hint("new")))
        assert counted.at_rest.acquire(timeout=30), "the third lane leaves the account's row alone"
        gates[1].set()
        for _ in range(2):
            assert done.acquire(timeout=30), "the lane that ended takes it"
    finally:
        for gate in gates.values():
            gate.set()


def test_a_busy_loop_rests_as_long_as_it_ran(sqlite_store: Store) -> None:
    steps: list[float] = []
    clock = sqlite_store.clock

    def cycle(_: Store) -> bool:
        steps.append(clock.monotonic_s())
        clock.sleep(0.05)
        return True

    runner = LoopRunner(sqlite_store, [CycleLoop("greedy", cycle, rest=1.0, interval_s=3600)])
    runner.start()
    while len(steps) < 4:
        clock.sleep(0.01)
    runner.stop()
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert min(gaps) >= 0.1


def test_an_urgent_hint_shortens_the_pause_of_a_busy_loop(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pearlstreet.store.loop.REST_MAX_S", 3600.0)
    monkeypatch.setattr("pearlstreet.store.loop.URGENT_REST", 1e-6)
    stepped = threading.Semaphore(0)

    def cycle(store: Store) -> bool:
        store.clock.sleep(0.001)
        stepped.release()
        return True

    loop = CycleLoop("planner", cycle, rest=1e9, interval_s=3600, urgent_hints=("first job",))
    runner = LoopRunner(sqlite_store, [loop])
    runner.start()
    assert stepped.acquire(timeout=30)
    assert not stepped.acquire(timeout=0.2), "the pause is an hour long"
    sqlite_store.write(lambda tx: tx.hint("first job"))
    assert stepped.acquire(timeout=30)
    runner.stop()


def test_a_sleeping_loop_is_woken_to_stop(sqlite_store: Store) -> None:
    stepped = threading.Event()
    cycle = CycleLoop("long-sleeper", lambda _: stepped.set() or False, interval_s=3600)
    runner = LoopRunner(sqlite_store, [cycle])
    runner.start()
    assert stepped.wait(30)
    runner.stop()
    assert "loop-long-sleeper" not in [thread.name for thread in threading.enumerate()]


def test_stopping_waits_for_the_step_under_way(sqlite_store: Store) -> None:
    began, done = threading.Event(), threading.Event()

    def cycle(store: Store) -> bool:
        began.set()
        store.clock.sleep(0.03)
        done.set()
        return True

    runner = LoopRunner(sqlite_store, [CycleLoop("slow", cycle)])
    runner.start()
    began.wait(10)
    runner.stop()
    assert done.is_set()


def test_a_long_error_is_kept_in_part(sqlite_store: Store) -> None:
    store = with_things(sqlite_store)
    for _ in range(frame.QUARANTINE_AFTER):
        store.write(lambda tx: frame.note_failure(tx, "count", "row", BugError("x" * 9000)))
    kept = store.read(lambda tx: tx.scalar(sa.select(loop_failures.c.last_error)))
    assert len(kept) == 2000
    told = store.read(lambda tx: tx.scalar(sa.select(outbox.c.payload).where(outbox.c.topic == "incident")))
    assert len(told["problem"]) == 500
