"""Checkpoints are kept as long as their owner may go on from them, and a while after its end within a size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.store.jobs.harness import Center

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.compute.execution.checkpoint_sweep import KeptCheckpoint, plan_deletions
from pearlstreet.compute.execution.settings import ExecutionSettings
from pearlstreet.compute.jobs.runtime import JobsSettings

DAY_US = 86_400 * US_PER_S
NOW_US = 100 * DAY_US
SETTINGS = ExecutionSettings(checkpoints_kept_s=7 * 86_400, org_checkpoint_bytes_max=100)


def _kept(key: str, size: int, ended_days_ago: float | None, org: str = "acme") -> KeptCheckpoint:
    ended_us = None if ended_days_ago is None else NOW_US - int(ended_days_ago * DAY_US)
    return KeptCheckpoint(key, org, size, ended_us)


def test_what_ended_long_ago_goes_and_what_runs_stays() -> None:
    kept = [_kept("old", 1, 8), _kept("fresh", 1, 6), _kept("running", 1, None)]
    assert plan_deletions(kept, SETTINGS, NOW_US) == ["old"]


def test_beyond_the_size_of_an_organisation_those_that_ended_first_go() -> None:
    kept = [
        _kept("second", 30, 2),
        _kept("first", 30, 3),
        _kept("third", 30, 1),
        _kept("running", 60, None),
        _kept("another's", 90, 3, org="other"),
    ]
    assert plan_deletions(kept, SETTINGS, NOW_US) == ["first", "second"]


def test_checkpoints_that_jobs_may_go_on_from_are_never_deleted() -> None:
    kept = [_kept("running", 500, None), _kept("queued", 500, None)]
    assert plan_deletions(kept, SETTINGS, NOW_US) == []


class _Keeps:
    """An engine that keeps a checkpoint of each key; what is not here is the wrapped one's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.kept: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def checkpoint_sizes(self) -> Done[dict[str, int]]:
        return Done(dict(self.kept))

    def delete_checkpoint(self, key: str) -> Done[None]:
        self.kept.pop(key)
        return Done(None)


def test_the_sweep_deletes_those_of_ended_and_of_unknown_jobs(tmp_path: Path) -> None:
    center = Center(tmp_path, wrap=_Keeps, settings=JobsSettings(checkpoints_kept_s=600))
    engine: Any = center.runtime.engines["simulated"]
    ended, running = center.submit(simulate="5s"), center.submit(simulate="9000s", time_limit="9000s")
    center.finish(ended, within_s=60)
    engine.kept = {ended: 10, running: 10, "job_of_nobody": 10}
    center.sweep()
    assert set(engine.kept) == {ended, running}
    center.clock.advance(700)
    center.sweep()
    assert set(engine.kept) == {running}
