"""A preparation whose engine loses it is made anew, and its timeline tells that once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.compute.engines.simulated.attempt_timeline import NEVER_US
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.store.tables import state_events


def test_the_timeline_of_a_lost_preparation_tells_each_move_once(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working)
    job = center.submit(environment={"packages": ["numpy"]}, simulate="3s")
    center.run(2)
    center.simulated.cluster.break_node("h100-0001")
    center.run(2)
    center.simulated.cluster.repair()
    assert center.finish(job, within_s=120)[0].state is JobState.SUCCEEDED
    moves = center.store.read(
        lambda tx: tx.execute(
            sa.select(state_events.c.from_state, state_events.c.to_state)
            .join(preparations, preparations.c.id == state_events.c.entity_id)
            .order_by(state_events.c.seq)
        ).all()
    )
    told = [tuple(move) for move in moves]
    assert ("building", "wanted") in told
    assert [before for before, _ in told] == [None, *(after for _, after in told[:-1])]


def test_a_build_that_never_begins_is_given_to_the_engine_anew(tmp_path: Path) -> None:
    settings = JobsSettings(starting_max_s=30.0)
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working, settings=settings)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    job = center.submit(environment={"packages": ["numpy"]}, simulate="3s")
    center.step()
    (build,) = engine.orders
    center.simulated.cluster.change(
        build.attempt_id, lambda timeline, _: replace(timeline, starts_us=NEVER_US, ends_us=NEVER_US + 1)
    )
    center.run(25)
    assert center.job(job).state is JobState.QUEUED and len(engine.orders) == 1
    assert center.finish(job, within_s=120)[0].state is JobState.SUCCEEDED
    assert [order.purpose for order in engine.orders] == ["environment", "environment", "job"]
