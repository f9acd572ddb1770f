"""Laws of gangs: ranks in order, all start, and one that fails ends all."""

from __future__ import annotations

from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason, TaskState


def test_a_gang_ends_well_when_all_its_tasks_do(rig: Rig) -> None:
    """A gang ends well when all its tasks do."""
    ended = rig.ended(rig.start(tasks=3))
    assert [task.rank for task in ended.tasks] == [0, 1, 2]
    assert [task.exit_code for task in ended.tasks] == [0, 0, 0]
    assert (ended.exit_code, ended.end_reason) == (0, EndReason.EXITED)


def test_a_gang_that_fails_tells_the_code_of_the_task_that_failed(rig: Rig) -> None:
    """A gang that fails tells the code of the task that failed."""
    ended = rig.ended(rig.start(tasks=3, exit_code=9))
    assert ended.exit_code == 9
    assert 9 in {task.exit_code for task in ended.tasks}
    assert {task.state for task in ended.tasks} == {TaskState.EXITED}


def test_a_gang_runs_only_once_all_its_tasks_run(rig: Rig) -> None:
    """A gang runs only once all its tasks run."""
    attempt_id = rig.start(tasks=2, lasts_s=0.5)

    def honest() -> bool:
        report = rig.report(attempt_id)
        if report.state is TaskState.RUNNING:
            assert TaskState.STARTING not in {task.state for task in report.tasks}
        return report.state is TaskState.EXITED

    rig.until(honest)


def test_a_gang_that_was_stopped_goes_on_with_another_number_of_tasks(rig: Rig) -> None:
    """A resize: what was stopped is over whole, and the ranks of the next attempt count from 0 again."""
    for before, after in ((2, 3), (3, 1)):
        stopped = rig.start(tasks=before, lasts_s=LONG_S)
        rig.running(stopped)
        value_of(rig.engine.stop(stopped, grace_s=2))
        assert rig.ended(stopped).end_reason is EndReason.STOPPED
        ended = rig.ended(rig.start(tasks=after))
        assert [task.rank for task in ended.tasks] == list(range(after))
        assert (ended.exit_code, ended.end_reason) == (0, EndReason.EXITED)
