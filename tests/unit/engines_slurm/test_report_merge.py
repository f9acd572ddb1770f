"""One report of what nodes wrote and what Slurm says: reasons, times and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pearlstreet.base.text import text
from pearlstreet.compute.engines.cluster.report_merge import ClusterView, Gang, ViewPhase, merge_report
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskState

S = 1_000_000
OVER = ClusterView(ViewPhase.OVER, 100, 110, EndReason.EXITED)
TAKEN = ClusterView(ViewPhase.OVER, 100, 110, EndReason.ENGINE_LOST, text("Slurm no longer knows the job"))


def state(
    rank: int = 0,
    *,
    code: int | None = 0,
    reason: str | None = "exited",
    start_s: float = 101,
    end_s: float = 109,
) -> Any:
    """What the supervisor of a node wrote at the end; `reason` None: while it runs."""
    over = reason is not None
    task = {
        "rank": rank,
        "state": "exited" if over else "running",
        "exit_code": code if over else None,
        "signal": None,
    }
    times = {"started_us": int(start_s * S), "ended_us": int(end_s * S) if over else None}
    task |= {**times, "cpu_s": 1.0, "memory_peak_bytes": 0}
    return {
        **times,
        "state": task["state"],
        "tasks": [task],
        "end_reason": reason,
        "exit_code": task["exit_code"],
        "message": None,
        "saved_us": None,
    }


def merged(
    states: Sequence[Any], view: ClusterView, *, is_stopped: bool = False, is_settled: bool = True
) -> AttemptReport:
    gang = Gang("att_1", len(states), len(states), is_stopped)
    return merge_report(gang, states, view, "bubblewrap", now_us=200 * S, is_settled=is_settled)


def test_a_gang_runs_once_every_node_runs_and_its_time_begins_with_slurms() -> None:
    running = ClusterView(ViewPhase.RUNNING, 100)
    assert merged([state(0, reason=None), None], running).state is TaskState.STARTING
    both = merged([state(0, reason=None), state(1, reason=None, start_s=103)], running)
    assert (both.state, both.started_us) == (TaskState.RUNNING, 101 * S)


def test_an_attempt_ends_only_once_slurm_says_so() -> None:
    assert merged([state()], ClusterView(ViewPhase.RUNNING, 100)).state is TaskState.RUNNING
    ended = merged([state()], OVER)
    assert (ended.state, ended.end_reason, ended.exit_code) == (TaskState.EXITED, EndReason.EXITED, 0)
    assert (ended.started_us, ended.ended_us) == (101 * S, 110 * S)


@pytest.mark.parametrize("skew_s", [-3600, 3600])
def test_a_node_whose_clock_is_wrong_is_billed_within_slurms_times(skew_s: int) -> None:
    report = merged([state(start_s=101 + skew_s, end_s=109 + skew_s)], OVER)
    assert report.started_us is not None and report.ended_us is not None
    assert 100 * S <= report.started_us <= report.ended_us <= 111 * S


def test_who_saves_its_work_when_slurm_takes_the_machine_has_not_finished() -> None:
    report = merged([state(code=0)], TAKEN)
    assert (report.end_reason, report.message) == (EndReason.ENGINE_LOST, TAKEN.message)


def test_a_stop_that_slurm_carried_out_is_a_stop() -> None:
    assert merged([state(code=143)], TAKEN, is_stopped=True).end_reason is EndReason.STOPPED
    assert merged([None], TAKEN, is_stopped=True).end_reason is EndReason.STOPPED


def test_a_limit_that_the_node_enforced_explains_the_end_better_than_slurm() -> None:
    assert merged([state(code=137, reason="memory_limit")], TAKEN).end_reason is EndReason.MEMORY_LIMIT


def test_the_code_of_the_rank_that_failed_first_is_told() -> None:
    report = merged([state(0, code=143, end_s=108), state(1, code=4, end_s=105)], OVER)
    assert (report.exit_code, report.end_reason) == (4, EndReason.EXITED)


def test_nodes_that_wrote_no_end_are_waited_for_and_then_lost() -> None:
    late = merged([state(reason=None)], OVER, is_settled=False)
    assert late.state is TaskState.RUNNING
    lost = merged([state(reason=None)], OVER)
    assert (lost.end_reason, lost.exit_code, lost.ended_us) == (EndReason.ENGINE_LOST, None, 110 * S)


def test_a_forgotten_job_ended_as_its_nodes_wrote() -> None:
    forgotten = ClusterView(ViewPhase.OVER, message=text("Slurm no longer knows the job"))
    assert merged([state(code=3)], forgotten).exit_code == 3
    assert merged([None], forgotten).end_reason is EndReason.ENGINE_LOST
