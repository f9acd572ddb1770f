"""A job that nobody submitted gets the planner's own answer, and leaves the snapshot as it was."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.hypothetical import suppose, with_waiting
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import (
    Account,
    DeviceUse,
    Quota,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
    node_row,
)

NOW_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000
EIGHT = Request(("H100",), 8, cpu_milli=8000, memory_mib=8192)
CONFIG = PlannerConfig()


def job(**changes: object) -> WaitingJob:
    plain = WaitingJob("asked", "acme", "p", EIGHT, time_limit_s=3600, submitted_us=NOW_US)
    return replace(plain, **changes)  # type: ignore[arg-type]


def running(node: str, left_us: int) -> RunningAttempt:
    uses = tuple(DeviceUse(index) for index in range(8))
    return RunningAttempt(
        f"a-{node}",
        f"j-{node}",
        "other",
        "p",
        (TaskUse(node, 8000, 8192, uses),),
        started_us=NOW_US - HOUR_US,
        expected_end_us=NOW_US + left_us,
    )


def center(*attempts: RunningAttempt, waiting: tuple[WaitingJob, ...] = (), **rows: object) -> Snapshot:
    nodes = [node_row(report) for report in nodes_from("2x8xH100-80G")]
    return build(now_us=NOW_US, nodes=nodes, running=attempts, waiting=waiting, **rows)  # type: ignore[arg-type]


def test_with_room_it_would_start_at_once() -> None:
    assert suppose(center(), CONFIG, job()).wait is None


def test_behind_what_runs_it_waits_for_the_first_end() -> None:
    seen = center(running("h100-0001", 2 * HOUR_US), running("h100-0002", 5 * HOUR_US))
    found = suppose(seen, CONFIG, job())
    assert found.wait is not None
    assert found.wait.reason.start is not None
    assert found.wait.reason.start.latest_us == NOW_US + 2 * HOUR_US
    both = suppose(seen, CONFIG, job(tasks=2)).wait
    assert both is not None
    assert both.reason.start is not None
    assert both.reason.start.latest_us == NOW_US + 5 * HOUR_US


def test_it_stands_in_line_like_one_that_was_submitted() -> None:
    ahead = tuple(job(id=f"w{number}", submitted_us=NOW_US - HOUR_US) for number in range(2))
    busy = (running("h100-0001", 2 * HOUR_US), running("h100-0002", 5 * HOUR_US))
    supposed = suppose(center(*busy, waiting=ahead), CONFIG, job())
    real = plan(center(*busy, waiting=(*ahead, job())), CONFIG)
    assert supposed.wait == next(wait for wait in real.waits if wait.job_id == "asked")
    assert supposed.waiting == 2


def test_the_snapshot_with_it_is_the_one_that_rows_make() -> None:
    quotas = (Quota("acme", "cards", maximum=4),)
    accounts = (Account("other", "p"), Account("acme", "q", weight=2.0))
    waiting = (job(id="w", user="ada", queue="urgent"),)
    for asked in (
        job(),
        job(org="new", project="n"),
        job(project="q", user="ada", queue="urgent"),
        job(user="bob", queue="late", request=Request(cpu_milli=1000)),
    ):
        seen = center(waiting=waiting, quotas=quotas, accounts=accounts)
        built = center(waiting=(*waiting, asked), quotas=quotas, accounts=accounts)
        made, before = with_waiting(seen, asked), seen.to_json()
        assert plan(made, CONFIG).waits == plan(built, CONFIG).waits
        assert plan(made, CONFIG).placements == plan(built, CONFIG).placements
        assert seen.to_json() == before


def test_quotas_hold_for_it() -> None:
    seen = center(quotas=(Quota("acme", "cards", maximum=4),))
    found = suppose(seen, CONFIG, job())
    assert found.wait is not None
    assert found.wait.reason.code == "quota"
    assert suppose(seen, CONFIG, job(org="new")).wait is None
