"""Laws on several questions at once: observations, scan and probes agree, whatever was lost, and no part of a gang is left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import AttemptReport, TaskState


def _mixed(rig: Rig) -> list[str]:
    """Return attempts that run, have ended, and were stopped."""
    running, ended, stopped = rig.start(lasts_s=LONG_S), rig.start(exit_code=4), rig.start(lasts_s=LONG_S)
    rig.running(running)
    value_of(rig.engine.stop(stopped, grace_s=0))
    rig.ended(ended)
    rig.ended(stopped)
    return [running, ended, stopped]


def _states(reports: list[AttemptReport]) -> dict[str, tuple[object, ...]]:
    """Return what of reports does not depend on the moment of asking."""
    return {
        one.attempt_id: (one.state, one.exit_code, one.end_reason, one.started_us, one.ended_us)
        for one in reports
    }


@pytest.mark.parametrize("cursor", ["", "lost", "0", "-1", "99999999999999999999"])
def test_after_a_lost_cursor_observation_scan_and_probes_agree(rig: Rig, cursor: str) -> None:
    """After a lost cursor the observation, the scan and the probes tell the same of every attempt."""
    ids = _mixed(rig)
    seen = _states(list(value_of(rig.engine.observe(cursor)).reports))
    scanned = _states(list(value_of(rig.engine.scan())))
    probed = _states([rig.report(attempt_id) for attempt_id in ids])
    assert {one: seen.get(one) for one in ids} == probed
    assert {one: scanned.get(one) for one in ids} == probed


def test_every_earlier_cursor_leads_to_the_state_of_a_scan(rig: Rig) -> None:
    """Whichever observation a watcher goes on from, it ends with what a scan tells."""
    known: list[tuple[str, dict[str, tuple[object, ...]]]] = []
    state: dict[str, tuple[object, ...]] = {}

    def look(cursor: str) -> str:
        seen = value_of(rig.engine.observe(cursor))
        state.update(_states(list(seen.reports)))
        known.append((seen.cursor, dict(state)))
        return seen.cursor

    cursor = look("")
    first = rig.start(lasts_s=LONG_S)
    cursor = look(cursor)
    rig.running(first)
    cursor = look(cursor)
    rig.ended(rig.start())
    cursor = look(cursor)
    value_of(rig.engine.stop(first, grace_s=0))
    rig.ended(first)
    truth = _states(list(value_of(rig.engine.scan())))
    for at, before in known:
        after = before | _states(list(value_of(rig.engine.observe(at)).reports))
        assert after == truth


def test_an_observation_after_a_restart_agrees_with_probes(rig: Rig) -> None:
    """An engine that was restarted tells a watcher without a cursor the same as probes."""
    ids = _mixed(rig)
    rig.restart()
    seen = _states(list(value_of(rig.engine.observe("")).reports))
    assert {one: seen.get(one) for one in ids} == _states([rig.report(attempt_id) for attempt_id in ids])


def test_a_gang_stopped_while_it_starts_leaves_no_task(rig: Rig) -> None:
    """A gang that is stopped at any moment of its start is over whole."""
    for pauses in range(3):
        attempt_id = rig.start(lasts_s=LONG_S, tasks=3)
        for _ in range(pauses):
            rig.pause()
        value_of(rig.engine.stop(attempt_id, grace_s=0))
        ended = rig.ended(attempt_id)
        assert {task.state for task in ended.tasks} <= {TaskState.EXITED}
        assert len(ended.tasks) in (0, 3)


def test_many_threads_starting_one_gang_start_each_task_once(rig: Rig) -> None:
    """A start of a gang that is repeated at the same time starts each rank once."""
    order = rig.order(lasts_s=LONG_S, tasks=2)
    with ThreadPoolExecutor(4) as pool:
        for answer in [pool.submit(rig.engine.start, order) for _ in range(4)]:
            assert value_of(answer.result()).attempt_id == order.attempt_id
    report = rig.running(order.attempt_id)
    assert [task.rank for task in report.tasks] == [0, 1]
    mine = [one for one in value_of(rig.engine.scan()) if one.attempt_id == order.attempt_id]
    assert len(mine) == 1


def test_stopping_the_unknown_leaves_the_others_alone(rig: Rig) -> None:
    """A stop of an attempt that never existed is done and changes no other attempt."""
    attempt_id = rig.start(lasts_s=LONG_S)
    before = rig.running(attempt_id)
    for unknown in ("att_unknown", f"{attempt_id}x", attempt_id[:-1]):
        value_of(rig.engine.stop(unknown, grace_s=0))
        rig.pause()
    after = rig.report(attempt_id)
    assert (after.state, after.started_us) == (TaskState.RUNNING, before.started_us)


def test_logs_of_all_ranks_are_read_on_after_a_restart(rig: Rig) -> None:
    """A reader goes on where it was in the log of every rank, though the engine was restarted in between."""
    attempt_id = rig.start(lasts_s=0.5, tasks=2)
    rig.ended(attempt_id)
    first = [value_of(rig.engine.read_log(attempt_id, rank, offset=0, limit=5)) for rank in range(2)]
    whole = [rig.log(attempt_id, rank) for rank in range(2)]
    rig.restart()
    for rank, chunk in enumerate(first):
        rest = value_of(rig.engine.read_log(attempt_id, rank, offset=chunk.next_offset, limit=1 << 20))
        assert chunk.data + rest.data == whole[rank]


def test_forgetting_one_leaves_the_others_to_scan_and_observation(rig: Rig) -> None:
    """What is forgotten is gone from scan, observation and probe alike, and only that."""
    running, ended, stopped = _mixed(rig)
    rig.forget(ended)
    left = {running, stopped}
    assert {one.attempt_id for one in value_of(rig.engine.scan())} == left
    assert {one.attempt_id for one in value_of(rig.engine.observe("")).reports} == left
    assert value_of(rig.engine.probe(ended)) is None
