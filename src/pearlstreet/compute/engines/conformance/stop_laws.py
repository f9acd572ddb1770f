"""Laws of stop: it always ends the attempt, at the latest after the grace, and never brings anything to life."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason, TaskState


def never_runs(rig: Rig, attempt_id: str) -> None:
    """Whatever the engine answers about it, it does not run, now or a little later."""
    for _ in range(10):
        report = value_of(rig.engine.probe(attempt_id))
        assert report is None or report.state is TaskState.EXITED
        rig.pause()


def test_stopping_what_is_unknown_is_done(rig: Rig) -> None:
    """Stopping what is unknown is done."""
    assert rig.engine.stop("att_unknown", grace_s=1) == Done(None)
    assert rig.engine.stop("att_unknown", grace_s=1) == Done(None)
    assert rig.engine.probe("att_unknown") == Done(None)


def test_an_attempt_stopped_before_it_starts_never_starts(rig: Rig) -> None:
    """An attempt stopped before it starts never starts."""
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.stop(order.attempt_id, grace_s=1))
    rig.engine.start(order)
    never_runs(rig, order.attempt_id)


def test_a_running_attempt_is_stopped(rig: Rig) -> None:
    """A running attempt is stopped."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=2))
    ended = rig.ended(attempt_id)
    assert ended.end_reason is EndReason.STOPPED
    task = ended.tasks[0]
    assert task.exit_code is not None
    assert task.signal is None or task.exit_code == 128 + task.signal


def test_a_gang_is_stopped_as_one(rig: Rig) -> None:
    """A gang is stopped as one."""
    attempt_id = rig.start(lasts_s=LONG_S, tasks=3)
    rig.running(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=2))
    ended = rig.ended(attempt_id)
    assert [task.state for task in ended.tasks] == [TaskState.EXITED] * 3


def test_an_attempt_is_stopped_while_it_starts(rig: Rig) -> None:
    """An attempt is stopped while it starts."""
    attempt_id = rig.start(lasts_s=LONG_S)
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_stop_does_not_wait_for_the_grace(rig: Rig) -> None:
    """Stop does not wait for the grace."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    before = time.monotonic()
    value_of(rig.engine.stop(attempt_id, grace_s=60))
    assert time.monotonic() - before < 3
    value_of(rig.engine.stop(attempt_id, grace_s=0))


def test_without_grace_it_ends_at_once(rig: Rig) -> None:
    """Without grace it ends at once."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=0))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_stopping_twice_is_done_and_changes_nothing(rig: Rig) -> None:
    """Stopping twice is done and changes nothing."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    ended = rig.ended(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    assert rig.report(attempt_id) == ended


def test_stopping_an_ended_attempt_does_not_rewrite_its_end(rig: Rig) -> None:
    """Stopping an ended attempt does not rewrite its end."""
    attempt_id = rig.start(exit_code=3)
    ended = rig.ended(attempt_id)
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    assert rig.report(attempt_id) == ended
    assert ended.exit_code == 3


def test_a_stop_racing_a_start_leaves_nothing_running(rig: Rig) -> None:
    """A stop racing a start leaves nothing running."""
    orders = [rig.order(lasts_s=LONG_S) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(rig.engine.start, order) for order in orders]
        stops = [pool.submit(rig.engine.stop, order.attempt_id, grace_s=0) for order in orders]
        assert all(isinstance(stop.result(), Done) for stop in stops)
        for start in starts:
            start.result()

    def settled() -> bool:
        return all(report.state is TaskState.EXITED for report in value_of(rig.engine.scan()))

    rig.until(settled)
    for order in orders:
        never_runs(rig, order.attempt_id)


def test_a_stopped_attempt_is_not_started_again(rig: Rig) -> None:
    """A stopped attempt is not started again."""
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.start(order))
    value_of(rig.engine.stop(order.attempt_id, grace_s=0))
    rig.ended(order.attempt_id)
    rig.engine.start(order)
    never_runs(rig, order.attempt_id)
