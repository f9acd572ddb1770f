"""Replays against an event loop that is obviously right, and the laws that hold for every trace and policy."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.replay.cases import Case, play
from pearlstreet.compute.replay.clusters import Cluster, plain_node
from pearlstreet.compute.replay.engine import Replay
from pearlstreet.compute.replay.outcome import Outcome
from pearlstreet.compute.replay.reading.registry import FORMATS, read_trace
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig

FIFO = PlannerConfig(order="fifo", backfill="greedy", preemption="none")
POLICIES = (
    FIFO,
    replace(FIFO, backfill="strict"),
    PlannerConfig(),
    PlannerConfig(order="priority", min_run_s=5),
    PlannerConfig(order="shortest", backfill="greedy", preemption="rank", min_run_s=0),
    PlannerConfig(order="las", preemption="rank", backfill="greedy", min_run_s=0, las_levels_h=(0.01, 0.03)),
    PlannerConfig(order="gittins", preemption="rank", backfill="conservative", min_run_s=3, wait_max_s=40),
)


@st.composite
def jobs_of_one_node(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(submit, duration, cards) in seconds, on a node of four."""
    return draw(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(0, 25), st.integers(1, 4)), min_size=1, max_size=25
        )
    )


def naive(jobs: list[tuple[int, int, int]], *, skip: bool) -> list[int]:
    """Starts, second by second, on one node of four cards: the queue is walked from the front."""
    start: dict[int, int] = {}
    queue = sorted(range(len(jobs)), key=lambda i: (jobs[i][0], i))
    second = 0
    while len(start) < len(jobs):
        used = sum(jobs[i][2] for i, s in start.items() if s <= second < s + jobs[i][1])
        for i in [i for i in queue if i not in start and jobs[i][0] <= second]:
            if jobs[i][2] <= 4 - used:
                start[i] = second
                used += jobs[i][2] if jobs[i][1] else 0
            elif not skip:
                break
        second += 1
    return [start[i] for i in range(len(jobs))]


@pytest.mark.parametrize("skip", [True, False])
@given(jobs=jobs_of_one_node())
@settings(deadline=None)
def test_every_start_is_that_of_a_plain_event_loop(skip: bool, jobs: list[tuple[int, int, int]]) -> None:
    jobs = [(submit, max(duration, 1), cards) for submit, duration, cards in jobs]
    first = min(submit for submit, _, _ in jobs)
    trace = make_trace(
        Job(f"{i:03}", submit, duration, whole_devices(cards))
        for i, (submit, duration, cards) in enumerate(jobs)
    )
    config = FIFO if skip else replace(FIFO, backfill="strict")
    found = Replay(trace, [plain_node("n", 4, "gpu")], config, ReplaySettings(), lambda m: 1.0).run()
    starts = {
        name: start // 1_000_000 + first
        for name, start in zip(trace.ids, found.first_us.tolist(), strict=True)
    }
    assert [starts[f"{i:03}"] for i in range(len(jobs))] == naive(jobs, skip=skip)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Job], Case]:
    sizes = st.sampled_from((1, 1, 2, 4, 8, 6))
    made = [
        Job(
            id=f"{i:03}",
            submit_s=draw(st.integers(0, 60)),
            duration_s=draw(st.integers(0, 90)),
            request=whole_devices(each),
            tasks=tasks,
            org=draw(st.sampled_from(("red", "blue"))),
            priority=draw(st.integers(0, 2)),
            limit_s=draw(st.sampled_from((0, 100))),
            preemptible=draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 25)))
        for tasks, each in [gang(draw(sizes), 4)]
    ]
    cluster = Cluster(
        {
            vc: tuple(plain_node(f"{vc}/{i}", 4, "gpu") for i in range(draw(st.integers(1, 2))))
            for vc in ("red", "blue")
        }
    )
    how = ReplaySettings(
        restart_s=draw(st.integers(0, 5)), restart_gang_s=7, checkpoint_s=draw(st.sampled_from((0, -1, 10))),
        stop_s=draw(st.sampled_from((0, 3))), tick_s=5, tell_durations=draw(st.booleans()),
    )  # fmt: skip
    sharing = draw(st.sampled_from(("isolated", "pool", "guaranteed")))
    return made, Case("x", cluster, draw(st.sampled_from(POLICIES)), how, sharing)


@given(worlds())
@settings(deadline=None, max_examples=60)
def test_laws_of_every_replay(world: tuple[list[Job], Case]) -> None:
    jobs, case = world
    trace = make_trace(jobs)
    played = play(trace, case)
    again = play(trace, case)
    done: dict[str, float] = {}
    for outcome, second in zip(played.outcomes, again.outcomes, strict=True):
        assert (list(outcome.runs.start_us), outcome.runs.place) == (
            list(second.runs.start_us),
            second.runs.place,
        )
        _never_over_capacity(outcome)
        _served_in_full(outcome, case.settings)
        done |= dict(zip(outcome.trace.ids, (outcome.end_us >= 0).tolist(), strict=True))
        assert set(outcome.never) == set((outcome.end_us < 0).nonzero()[0].tolist())
        assert set(outcome.never.values()) <= {"impossible"}, "nobody waits for ever"
    assert len(done) == trace.count


def _never_over_capacity(outcome: Outcome) -> None:
    """No device is held twice at any moment."""
    held: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, end, place in zip(outcome.runs.start_us, outcome.runs.end_us, outcome.runs.place, strict=True):
        for node, devices in place:
            for device in devices:
                held.setdefault((node, device), []).append((start, end))
    for spans in held.values():
        spans.sort()
        for (_, end), (start, _) in pairwise(spans):
            assert start >= end


def _served_in_full(outcome: Outcome, how: ReplaySettings) -> None:
    """Every job ran exactly as long as it needs, plus what it lost."""
    trace = outcome.trace
    for row in outcome.ended.tolist():
        spans = [
            (start, end)
            for job, start, end in zip(
                outcome.runs.job, outcome.runs.start_us, outcome.runs.end_us, strict=True
            )
            if job == row
        ]
        assert min(start for start, _ in spans) >= trace.submit_us[row]
        assert len(spans) == outcome.stops[row] + 1
        held = sum(end - start for start, end in spans)
        assert held == outcome.held_us[row]
        restart = how.restart_s if trace.tasks[row] == 1 else how.restart_gang_s
        least = trace.duration_us[row] + int(outcome.stops[row]) * round(restart * 1e6)
        assert held >= least if how.checkpoint_s else held == least
        sizes = {
            sum(len(devices) for _, devices in place)
            for job, place in zip(outcome.runs.job, outcome.runs.place, strict=True)
            if job == row
        }
        assert sizes == {int(trace.tasks[row]) * trace.requests[int(trace.request[row])].count}


CELLS = st.one_of(
    st.integers(-3, 1 << 40).map(str), st.floats().map(str), st.sampled_from(("", "-1", "a", "nan", "12|3", "0x1f", "é", "1:2")),
    st.text(max_size=8),
)  # fmt: skip
HEADS = (
    "job,vc,submit,duration,gpus", "timestamp,duration,num_gpus,gpu_time,cluster",
    "job_id,num_gpu,submit_time,duration,iteration_time", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec",
    "job,submitted,duration_s,count,priority,preemptible", "JobID|Submit|Start|End|ReqTRES",
)  # fmt: skip


@given(
    head=st.sampled_from(HEADS),
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=6), max_size=12),
    skip=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_whatever_stands_in_a_file_is_read_or_said_to_be_wrong(
    head: str, rows: list[list[str]], skip: bool
) -> None:
    delimiter = "|" if "|" in head else ","
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([head.split(delimiter), *rows])
    findings = Findings("f", skip)
    try:
        trace = read_trace(io.StringIO(out.getvalue()), findings, per_node=8)
    except InvalidInput as error:
        assert len(error.problems) <= 20
        assert all(problem.line for problem in error.problems)
        return
    assert trace.count >= 1
    assert trace.count + findings.bad <= findings.rows + findings.bad
    assert (trace.duration_us >= 0).all()
    assert (trace.tasks >= 1).all()
    assert trace.submit_us[0] == 0


@given(name=st.sampled_from(sorted(FORMATS)), lines=st.lists(st.text(max_size=60), max_size=8))
@settings(deadline=None, max_examples=200)
def test_any_text_in_any_format(name: str, lines: list[str]) -> None:
    try:
        read_trace(iter(lines), Findings("f", skip_bad=True), per_node=8, name=name)
    except InvalidInput as error:
        assert str(error)
