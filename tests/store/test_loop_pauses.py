"""How long a loop pauses: after a cycle, before the next one without a hint, and after failures."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from tests.store.things import on_virtual_time

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store import loop as frame
from pearlstreet.store.core import Store
from pearlstreet.store.loop import CycleLoop, LoopRunner

Pause = tuple[str, float]


class RecordedEvent(threading.Event):
    """Notes how long it is waited for, and does not wait. `stops`: number of loops after which it is set."""

    def __init__(self, name: str, pauses: list[Pause], steps: list[None], stops: int = 0) -> None:
        super().__init__()
        self.name, self.pauses, self.steps, self.stops = name, pauses, steps, stops

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append((self.name, round(timeout, 6)))
        return False

    def is_set(self) -> bool:
        return super().is_set() or bool(self.stops and len(self.steps) >= self.stops)


def _run(
    store: Store, cycle: Callable[[Store], bool], stops: int, *, lane: int = 0, **settings: float
) -> list[Pause]:
    """Run `stops` steps of a loop in this thread; returns its pauses in order."""
    pauses: list[Pause] = []
    steps: list[None] = []

    def counted(store: Store) -> bool:
        steps.append(None)
        return cycle(store)

    loop = CycleLoop("paced", counted, **settings)  # type: ignore[arg-type]
    runner = LoopRunner(store, [loop])
    runner._stopping = RecordedEvent("stop", pauses, steps, stops)
    runner._urgent["paced"] = RecordedEvent("urgent", pauses, steps)
    runner._wakes["paced"] = [RecordedEvent("hint", pauses, steps) for _ in range(lane + 1)]
    runner._run(loop, lane)
    return pauses


@pytest.fixture
def world(sqlite_store: Store) -> tuple[Store, VirtualClock]:
    return on_virtual_time(sqlite_store)


def test_a_loop_waits_for_a_hint_at_most_its_interval(world: tuple[Store, VirtualClock]) -> None:
    assert _run(world[0], lambda _: False, 2, interval_s=7.0) == [("hint", 7.0)] * 2


def test_lanes_look_less_often_without_a_hint(world: tuple[Store, VirtualClock]) -> None:
    assert _run(world[0], lambda _: False, 1, lane=2, interval_s=7.0) == [("hint", 21.0)]


def test_more_work_is_taken_at_once(world: tuple[Store, VirtualClock]) -> None:
    assert _run(world[0], lambda _: True, 2, interval_s=7.0) == []


def test_the_pause_is_a_multiple_of_the_cycle_and_only_its_first_quarter_is_certain(
    world: tuple[Store, VirtualClock],
) -> None:
    store, clock = world

    def cycle(_: Store) -> bool:
        clock.advance(0.1)
        return True

    assert _run(store, cycle, 2, rest=2.0) == [("stop", 0.05), ("urgent", 0.15)] * 2


def test_no_pause_is_longer_than_half_a_second(world: tuple[Store, VirtualClock]) -> None:
    store, clock = world

    def cycle(_: Store) -> bool:
        clock.advance(60)
        return True

    assert _run(store, cycle, 1, rest=2.0) == [("stop", 0.125), ("urgent", 0.375)]


def test_failures_double_the_wait_until_a_step_succeeds(world: tuple[Store, VirtualClock]) -> None:
    outcomes = iter([OSError, OSError, OSError, None, OSError])
    before = REGISTRY.get_sample_value("pearl_loop_failures_total", {"loop": "paced"}) or 0.0

    def cycle(_: Store) -> bool:
        if error := next(outcomes):
            raise error("away")
        return True

    pauses = _run(world[0], cycle, 5, interval_s=7.0)
    hint = ("hint", 7.0)
    assert pauses == [("stop", 0.4), hint, ("stop", 0.8), hint, ("stop", 1.6), hint, ("stop", 0.4), hint]
    assert REGISTRY.get_sample_value("pearl_loop_failures_total", {"loop": "paced"}) == before + 4


def test_failures_for_ever_wait_at_most_a_minute(world: tuple[Store, VirtualClock]) -> None:
    def cycle(_: Store) -> bool:
        raise OSError("away")

    pauses = _run(world[0], cycle, 12, interval_s=7.0)
    assert [seconds for name, seconds in pauses if name == "stop"][-3:] == [60.0] * 3


def test_an_old_urgent_hint_does_not_shorten_the_next_pause(world: tuple[Store, VirtualClock]) -> None:
    urgent_at_start: list[bool] = []
    steps: list[None] = []
    runner: LoopRunner

    def cycle(_: Store) -> bool:
        urgent_at_start.append(runner._urgent["paced"].is_set())
        steps.append(None)
        runner._urgent["paced"].set()
        return True

    loop = CycleLoop("paced", cycle)
    runner = LoopRunner(world[0], [loop])
    runner._stopping = RecordedEvent("stop", [], steps, 2)
    runner._run(loop, 0)
    assert urgent_at_start == [False, False]


def test_stopping_ends_a_pause_and_the_threads_bear_names(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "REST_MAX_S", 3600.0)
    monkeypatch.setattr(frame, "URGENT_REST", 1e-9)
    stepped = threading.Event()

    def cycle(store: Store) -> bool:
        store.clock.sleep(0.001)
        stepped.set()
        return True

    runner = LoopRunner(sqlite_store, [CycleLoop("resting", cycle, rest=1e9)])
    runner.start()
    assert stepped.wait(30)
    found = [thread for thread in threading.enumerate() if thread.name == "loop-resting"]
    assert len(found) == 1 and found[0].daemon, "a server that is killed does not wait for its loops"
    runner.stop()
    assert not found[0].is_alive()
