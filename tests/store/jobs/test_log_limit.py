"""The logs of an organisation stay within their limit: its oldest go, and nobody else's."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.money import parse_yuan
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import LogChunk
from pearlstreet.compute.jobs import follow
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.storage.log_limit import KeptLog, limit_logs, plan_trims
from pearlstreet.ledger.topups import top_up
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org

_LOGS = st.lists(
    st.builds(
        KeptLog,
        st.uuids().map(str),
        st.sampled_from(["a", "b"]),
        st.none() | st.integers(0, 9),
        st.integers(0, 100),
    ),
    max_size=12,
)


@given(_LOGS, st.integers(1, 300))
def test_what_is_left_fits_and_the_newest_are_kept(kept: list[KeptLog], limit: int) -> None:
    trims, left = plan_trims(kept, limit), defaultdict[str, int](int)
    for item in kept:
        assert 0 <= trims.get(item.attempt_id, 0) <= item.size_bytes
        left[item.org_id] += item.size_bytes - trims.get(item.attempt_id, 0)
    for org in {item.org_id for item in kept}:
        own = [item for item in kept if item.org_id == org]
        assert left[org] == min(sum(item.size_bytes for item in own), limit)
        for item in own:
            for older in own:
                is_older = older.ended_us is not None and (
                    item.ended_us is None or older.ended_us < item.ended_us
                )
                if is_older and trims.get(item.attempt_id):
                    assert trims.get(older.attempt_id, 0) == older.size_bytes


def test_one_tenants_logs_go_and_its_neighbours_stay(tmp_path: Path) -> None:
    center = Center(
        tmp_path, cluster="2x8xH100-80G", settings=JobsSettings(org_log_bytes_max=100), wrap=Working
    )
    top_up(center.store, SYSTEM, create_org(center.store, SYSTEM, "other").id, parse_yuan("9000"))
    jobs = [
        center.submit(simulate="5s"),
        center.submit(simulate="50s"),
        center.submit("other", simulate="5s"),
    ]
    center.finish(*jobs)
    first, second, foreign = (center.attempts(job)[0]["id"] for job in jobs)
    engine = center.runtime.engines["simulated"]
    trimmed: dict[str, int] = {}
    engine.log_sizes = lambda: Done({first: 80, second: 60, foreign: 90, "att_unknown": 10_000})  # type: ignore[method-assign]

    def trim(attempt_id: str, *, size_bytes: int) -> Done[int]:
        trimmed[attempt_id] = size_bytes
        return Done(size_bytes)

    engine.trim_log = trim  # type: ignore[method-assign]
    limit_logs(center.runtime, center.store)
    assert trimmed == {first: 40}


def test_a_gap_in_a_log_is_said_in_it(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working)
    job = center.submit(simulate="5s")
    center.finish(job)
    attempt = center.attempts(job)[0]["id"]
    engine = center.runtime.engines["simulated"]
    engine.read_log = lambda *_, **__: Done(LogChunk(b"end\n", 3004, 3000, ended=True))  # type: ignore[method-assign]
    part = follow.read_log(center.store, SYSTEM, center.runtime, job, None, 0, 0, 100)
    assert part.data.decode().splitlines() == [
        "",
        "[pearl: 2.9 KiB of this log were not kept · 此处有 2.9 KiB 日志未保留]",
        "end",
    ]
    ((position, followed),) = follow.read_positions(
        center.store, center.runtime, [follow.LogPosition(job, attempt, 0, 0)], 100
    )
    assert followed.data == part.data and position.offset == part.next_offset == 3004


def test_a_job_may_not_ask_for_more_log_than_the_center_keeps(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", settings=JobsSettings(log_bytes_max=64 << 20))
    center.submit(limits={"log_mib": 64})
    with pytest.raises(InvalidInput) as caught:
        center.submit(limits={"log_mib": 65})
    (problem,) = caught.value.problems
    assert (problem.field, str(problem.message)) == (
        "limits.log_mib",
        "This center keeps at most 64.0 MiB of a task's log",
    )
