"""Laws of observe: what changed is told, nothing is told for ever, and a lost cursor loses nothing."""

from __future__ import annotations

import pytest

from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, Observation, TaskState


class Follower:
    """Somebody who knows of the attempts only what observations told."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.cursor = rig, ""
        self.known: dict[str, AttemptReport] = {}

    def observe(self) -> Observation:
        """Observe once and merge."""
        seen: Observation = value_of(self.rig.engine.observe(self.cursor))
        if seen.is_complete:
            self.known.clear()
        self.known |= {report.attempt_id: report for report in seen.reports}
        for attempt_id in seen.gone:
            self.known.pop(attempt_id, None)
        self.cursor = seen.cursor
        return seen

    def until(self, attempt_id: str, state: TaskState) -> AttemptReport:
        """Observe until it is told that an attempt reached a state."""

        def told() -> bool:
            self.observe()
            return attempt_id in self.known and self.known[attempt_id].state is state

        self.rig.until(told)
        return self.known[attempt_id]


def test_a_first_observation_is_complete_and_empty(rig: Rig) -> None:
    """A first observation is complete and empty."""
    seen = value_of(rig.engine.observe(""))
    assert seen.is_complete
    assert (list(seen.reports), list(seen.gone)) == ([], [])
    assert seen.cursor


def test_a_complete_observation_equals_a_scan(rig: Rig) -> None:
    """A complete observation equals a scan."""
    over, running = rig.start(), rig.start(lasts_s=LONG_S)
    rig.ended(over)
    rig.running(running)
    seen = value_of(rig.engine.observe(""))
    assert seen.is_complete
    assert {report.attempt_id for report in seen.reports} == {over, running}
    assert {report.attempt_id: report.state for report in seen.reports} == {
        report.attempt_id: report.state for report in value_of(rig.engine.scan())
    }


def test_start_run_and_end_are_told_without_a_probe(rig: Rig) -> None:
    """Start run and end are told without a probe."""
    follower = Follower(rig)
    follower.observe()
    attempt_id = rig.start(lasts_s=0.5, tasks=2)
    running = follower.until(attempt_id, TaskState.RUNNING)
    assert {task.state for task in running.tasks} == {TaskState.RUNNING}
    ended = follower.until(attempt_id, TaskState.EXITED)
    assert (ended.end_reason, ended.exit_code) == (EndReason.EXITED, 0)
    assert ended == rig.report(attempt_id)


def test_what_did_not_change_is_not_told_again(rig: Rig) -> None:
    """What did not change is not told again."""
    follower = Follower(rig)
    running = [rig.start(lasts_s=LONG_S) for _ in range(3)]
    for attempt_id in running:
        follower.until(attempt_id, TaskState.RUNNING)
    follower.observe()
    seen = follower.observe()
    assert not seen.is_complete
    assert (list(seen.reports), list(seen.gone)) == ([], [])


def test_only_what_changed_is_told(rig: Rig) -> None:
    """Only what changed is told."""
    follower = Follower(rig)
    long = rig.start(lasts_s=LONG_S)
    follower.until(long, TaskState.RUNNING)
    short = rig.start(lasts_s=0.2)
    told: set[str] = set()

    def over() -> bool:
        told.update(report.attempt_id for report in follower.observe().reports)
        return follower.known[short].state is TaskState.EXITED

    rig.until(over)
    assert told == {short}


def test_one_cursor_may_be_used_again(rig: Rig) -> None:
    """One cursor may be used again."""
    before = value_of(rig.engine.observe("")).cursor
    attempt_id = rig.start()
    rig.ended(attempt_id)
    for _ in range(2):
        seen = value_of(rig.engine.observe(before))
        assert [(report.attempt_id, report.state) for report in seen.reports] == [
            (attempt_id, TaskState.EXITED)
        ]


def test_a_stop_is_told(rig: Rig) -> None:
    """A stop is told."""
    follower = Follower(rig)
    attempt_id = rig.start(lasts_s=LONG_S)
    follower.until(attempt_id, TaskState.RUNNING)
    value_of(rig.engine.stop(attempt_id, grace_s=0))
    assert follower.until(attempt_id, TaskState.EXITED).end_reason is EndReason.STOPPED


def test_a_time_limit_is_told(rig: Rig) -> None:
    """A time limit is told."""
    follower = Follower(rig)
    attempt_id = rig.start(lasts_s=LONG_S, time_s=0.5)
    assert follower.until(attempt_id, TaskState.EXITED).end_reason is EndReason.TIME_LIMIT


def test_a_forgotten_attempt_is_told_to_be_gone(rig: Rig) -> None:
    """A forgotten attempt is told to be gone."""
    follower = Follower(rig)
    attempt_id = rig.start()
    follower.until(attempt_id, TaskState.EXITED)
    rig.forget(attempt_id)
    assert attempt_id in follower.observe().gone
    assert follower.known == {}


def test_an_attempt_that_was_never_started_is_never_told_of(rig: Rig) -> None:
    """An attempt that was never started is never told of."""
    follower = Follower(rig)
    value_of(rig.engine.stop("att_00000000000000000000nobody", grace_s=0))
    follower.observe()
    rig.pause()
    follower.observe()
    assert "att_00000000000000000000nobody" not in follower.known


@pytest.mark.parametrize("cursor", ["no cursor of anybody", "/", "1/2/3", "1.1.1/999999999", "\0", "é/٣"])
def test_a_strange_cursor_loses_nothing(rig: Rig, cursor: str) -> None:
    """A strange cursor loses nothing."""
    attempt_id = rig.start(lasts_s=LONG_S)
    seen = value_of(rig.engine.observe(cursor))
    assert seen.is_complete
    assert {report.attempt_id for report in seen.reports} == {attempt_id}


def test_a_cursor_of_the_engine_before_a_restart_loses_nothing(rig: Rig) -> None:
    """A cursor of the engine before a restart loses nothing."""
    over, running = rig.start(), rig.start(lasts_s=LONG_S)
    rig.ended(over)
    rig.running(running)
    cursor = value_of(rig.engine.observe("")).cursor
    rig.restart()
    seen = value_of(rig.engine.observe(cursor))
    assert seen.is_complete
    assert {report.attempt_id for report in seen.reports} == {over, running}


def test_what_an_engine_before_a_restart_started_goes_on_being_told(rig: Rig) -> None:
    """What an engine before a restart started goes on being told."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    rig.restart()
    follower = Follower(rig)
    follower.until(attempt_id, TaskState.RUNNING)
    value_of(rig.engine.stop(attempt_id, grace_s=0))
    seen = follower.until(attempt_id, TaskState.EXITED)
    assert seen.end_reason is EndReason.STOPPED


def test_a_repeated_start_tells_of_one_attempt(rig: Rig) -> None:
    """A repeated start tells of one attempt."""
    follower = Follower(rig)
    order = rig.order(lasts_s=LONG_S)
    for _ in range(3):
        value_of(rig.engine.start(order))
    follower.until(order.attempt_id, TaskState.RUNNING)
    assert set(follower.known) == {order.attempt_id}


def test_states_told_move_only_forward(rig: Rig) -> None:
    """States told move only forward."""
    follower = Follower(rig)
    attempt_id = rig.start(lasts_s=0.4, tasks=2)
    steps: list[int] = []

    def over() -> bool:
        told = {report.attempt_id: report for report in follower.observe().reports}
        if attempt_id in told:
            steps.append(list(TaskState).index(told[attempt_id].state))
        return bool(steps) and steps[-1] == list(TaskState).index(TaskState.EXITED)

    rig.until(over)
    assert steps == sorted(steps)


def test_many_attempts_are_all_told(rig: Rig) -> None:
    """Many attempts are all told."""
    follower = Follower(rig)
    follower.observe()
    started = {rig.start(lasts_s=0.1) for _ in range(6)}
    for attempt_id in sorted(started):
        follower.until(attempt_id, TaskState.EXITED)
    assert set(follower.known) == started
    scanned = {report.attempt_id: report for report in value_of(rig.engine.scan())}
    assert follower.known == scanned


def test_secrets_are_not_in_observations(rig: Rig) -> None:
    """Secrets are not in observations."""
    order = rig.order(lasts_s=0.2, variables={"TOKEN": "hunter2-secret"}, secret_names=frozenset({"TOKEN"}))
    value_of(rig.engine.start(order))
    assert "hunter2-secret" not in repr(rig.engine.observe(""))
