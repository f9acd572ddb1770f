"""Laws of restart, close and forget: attempts live on without us, and only `forget` makes an engine forget."""

from __future__ import annotations

from pearlstreet.base.outcome import Done, Refused, Retry
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.conformance.stop_laws import never_runs
from pearlstreet.compute.engines.protocol import EndReason, TaskState


def test_a_running_attempt_runs_on_while_nobody_watches(rig: Rig) -> None:
    """A running attempt runs on while nobody watches."""
    attempt_id = rig.start(lasts_s=LONG_S)
    before = rig.running(attempt_id)
    rig.restart()
    after = rig.report(attempt_id)
    assert (after.state, after.started_us) == (TaskState.RUNNING, before.started_us)
    assert [report.attempt_id for report in value_of(rig.engine.scan())] == [attempt_id]


def test_an_attempt_that_ends_while_nobody_watches_is_told_on_return(rig: Rig) -> None:
    """An attempt that ends while nobody watches is told on return."""
    attempt_id = rig.start(lasts_s=0.4, exit_code=5)
    rig.running(attempt_id)
    rig.engine.close()
    for _ in range(30):
        rig.pause()
    rig.restart()
    ended = rig.ended(attempt_id)
    assert (ended.exit_code, ended.end_reason) == (5, EndReason.EXITED)
    assert ended.started_us is not None and ended.ended_us is not None
    assert ended.ended_us - ended.started_us < 5_000_000


def test_an_ended_attempt_is_remembered_as_it_was(rig: Rig) -> None:
    """An ended attempt is remembered as it was."""
    attempt_id = rig.start(exit_code=2, tasks=2)
    ended, log = rig.ended(attempt_id), rig.log(attempt_id)
    rig.restart()
    assert rig.report(attempt_id) == ended
    assert rig.log(attempt_id) == log


def test_an_attempt_is_not_run_again_after_a_restart(rig: Rig) -> None:
    """An attempt is not run again after a restart."""
    order = rig.order()
    value_of(rig.engine.start(order))
    ended = rig.ended(order.attempt_id)
    rig.restart()
    assert value_of(rig.engine.start(order)) == ended
    assert len(value_of(rig.engine.scan())) == 1


def test_a_running_attempt_is_not_doubled_after_a_restart(rig: Rig) -> None:
    """A running attempt is not doubled after a restart."""
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.start(order))
    before = rig.running(order.attempt_id)
    rig.restart()
    again = value_of(rig.engine.start(order))
    assert again.started_us == before.started_us
    assert len(value_of(rig.engine.scan())) == 1


def test_a_running_attempt_can_be_stopped_after_a_restart(rig: Rig) -> None:
    """A running attempt can be stopped after a restart."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    rig.restart()
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_an_attempt_stopped_before_it_starts_stays_so_after_a_restart(rig: Rig) -> None:
    """An attempt stopped before it starts stays so after a restart."""
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.stop(order.attempt_id, grace_s=1))
    rig.restart()
    rig.engine.start(order)
    never_runs(rig, order.attempt_id)


def test_a_log_is_read_on_after_a_restart(rig: Rig) -> None:
    """A log is read on after a restart."""
    attempt_id = rig.start(lasts_s=1.0)
    rig.running(attempt_id)
    rig.until(lambda: rig.log(attempt_id))
    first = value_of(rig.engine.read_log(attempt_id, 0, offset=0, limit=5))
    rig.restart()
    rig.ended(attempt_id)
    rest = value_of(rig.engine.read_log(attempt_id, 0, offset=first.next_offset, limit=1 << 20))
    assert first.data + rest.data == rig.log(attempt_id)


def test_a_running_attempt_is_not_forgotten(rig: Rig) -> None:
    """A running attempt is not forgotten."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    assert isinstance(rig.engine.forget(attempt_id), Retry)
    assert rig.report(attempt_id).state is TaskState.RUNNING


def test_a_forgotten_attempt_leaves_no_trace(rig: Rig) -> None:
    """A forgotten attempt leaves no trace."""
    gone, kept = rig.start(), rig.start()
    rig.ended(gone)
    rig.ended(kept)
    rig.forget(gone)
    assert rig.engine.probe(gone) == Done(None)
    assert [report.attempt_id for report in value_of(rig.engine.scan())] == [kept]
    assert isinstance(rig.engine.read_log(gone, 0, offset=0, limit=10), Refused)
    assert isinstance(rig.engine.list_outputs(gone), Refused)


def test_forgetting_stays_done(rig: Rig) -> None:
    """Forgetting stays done."""
    attempt_id = rig.start()
    rig.ended(attempt_id)
    rig.forget(attempt_id)
    assert rig.engine.forget(attempt_id) == Done(None)
    assert rig.engine.forget("att_unknown") == Done(None)
    rig.restart()
    assert rig.engine.probe(attempt_id) == Done(None)


def test_outputs_of_a_job_that_leaves_none_are_empty(rig: Rig) -> None:
    """Outputs of a job that leaves none are empty."""
    attempt_id = rig.start()
    rig.ended(attempt_id)
    assert len(value_of(rig.engine.list_outputs(attempt_id))) == 0


def test_an_output_outside_the_folder_is_refused(rig: Rig) -> None:
    """An output outside the folder is refused."""
    attempt_id = rig.start()
    rig.ended(attempt_id)
    for path in ("../order.json", "/etc/passwd", "a/../../b", "", "nothing-here"):
        assert isinstance(rig.engine.read_output(attempt_id, path, offset=0, limit=10), Refused), path
