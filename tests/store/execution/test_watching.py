"""The watch loop learns of ends from observations alone, and from complete ones what an engine did not tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.fakes.engines import Wrapped
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import Engine, Observation, TaskState
from pearlstreet.compute.engines.simulated import Fault, FaultPlan, FaultRule
from pearlstreet.compute.execution.engine_view import COMPLETE_EVERY_S, EngineView
from pearlstreet.compute.jobs.model import JobState

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 8}


def _watched(folder: Path) -> tuple[Center, Wrapped]:
    made: list[Wrapped] = []

    def wrap(engine: Engine) -> Engine:
        made.append(Wrapped(engine))
        return made[0]

    return Center(folder, wrap=wrap), made[0]


def test_running_attempts_are_not_probed(tmp_path: Path) -> None:
    center, engine = _watched(tmp_path)
    jobs = [center.submit(per_task=CARD, simulate="300s") for _ in range(8)]
    center.run(10)
    engine.calls.clear()
    center.run(120)
    assert {center.job(job).state for job in jobs} == {JobState.RUNNING}
    assert all(center.attempts(job)[0]["span_sequence"] > 0 for job in jobs), "they are metered"
    assert engine.calls["probe"] == 0
    assert engine.calls["observe"] > 0


def test_changes_that_were_not_told_are_learnt_later(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit(per_task=CARD, simulate="20s")
    center.run(10)
    center.simulated.set_faults(FaultPlan((FaultRule(Fault.EVENTS_LOST, times=1, after=0),)))
    center.run(15)
    (ended,) = center.finish(job, within_s=COMPLETE_EVERY_S + 30)
    assert ended.state is JobState.SUCCEEDED
    assert len(center.attempts(job)) == 1
    center.check_books()


class _CutsLists(Wrapped):
    """Complete observations lack every attempt, as of a list that was cut."""

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = super().observe(cursor)
        if isinstance(answer, Done) and answer.value.is_complete:
            return Done(replace(answer.value, reports=()))
        return answer


def test_an_attempt_missing_in_a_list_is_asked_for_and_goes_on(tmp_path: Path) -> None:
    center = Center(tmp_path, wrap=_CutsLists)
    job = center.submit(per_task=CARD, simulate="200s")
    center.run(150)
    assert center.job(job).state is JobState.RUNNING
    (ended,) = center.finish(job, within_s=300)
    assert (ended.state, len(center.attempts(job))) == (JobState.SUCCEEDED, 1)
    center.check_books()


class _Late(Wrapped):
    """While the first answer is on its way, `meanwhile` happens."""

    def __init__(self, inner: Engine, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self._meanwhile: Callable[[], object] | None = meanwhile

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = super().observe(cursor)
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return answer


def test_an_older_answer_does_not_replace_a_newer(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit(per_task=CARD, simulate="20s")
    center.run(10)
    (attempt,) = center.attempts(job)

    def see_its_end() -> None:
        center.clock.advance(60)
        assert view.refresh(center.clock) is not None

    view = EngineView(_Late(center.simulated, see_its_end))
    assert view.refresh(center.clock) is not None
    report = view.report(attempt["id"])
    assert report is not None and report.state is TaskState.EXITED
