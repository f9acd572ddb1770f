"""One schema of the snapshot's columns: the builder, replays and stored snapshots follow it, and a wrong stored column is named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest
from tests.unit.scheduling.test_planner import NOW_US, cards, holds, job, node

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.replay.growing_table import GrowingTable
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import I64, TABLES, Snapshot, snapshot_from_json
from pearlstreet.compute.scheduling.rows import Account, Quota, Reservation, Service
from pearlstreet.compute.scheduling.schema import AXES, Column, TableReader, columns_of, table_to_json

COLUMNS = [(table, column) for table, kind in TABLES.items() for column in columns_of(kind)]


def full() -> Snapshot:
    """Return a snapshot with a row in every table."""
    return build(
        now_us=NOW_US,
        nodes=[node("a"), node("b")],
        running=[holds("r", "a", range(2))],
        waiting=[job("w", cards(1), array="x", element=1)],
        quotas=[Quota("acme", "cards", maximum=4)],
        accounts=[Account("acme", "p")],
        reservations=[Reservation("m", NOW_US, NOW_US + 1, "b")],
        services=[Service(5)],
    )


def replayed() -> Snapshot:
    """Return a snapshot of a replay in which one job runs and one waits."""
    trace = make_trace([Job("one", 0, 10, cards(1), 1), Job("two", 0, 10, cards(1), 1)])
    state = State(trace, [node("a")], lambda model: 1.0)
    state.wait(0)
    state.wait(1)
    (first, *_) = plan(state.snapshot(0), PlannerConfig()).placements
    state.start(trace.ids.index(first.job_id), 1, first, 0)
    state.leave([trace.ids.index(first.job_id)])
    return state.snapshot(0)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda value: getattr(value, "name", value))
def test_builder_and_replay_make_each_column_as_declared(table: str, column: Column) -> None:
    assert column.doc and column.unit
    assert set(column.shape + column.refers) <= AXES.keys()
    for snapshot in (full(), replayed()):
        values = getattr(getattr(snapshot, table), column.name)
        if column.dtype is None:
            assert isinstance(values, tuple)
        else:
            assert values.dtype == column.dtype
            assert values.ndim == len(column.shape)


def broken(column: Column, rows: list[Any]) -> list[tuple[str, Any]]:
    """Return wrong values of a stored column, with what is wrong."""
    found: list[tuple[str, Any]] = [("no list", 5), ("a row more", [*rows, *rows[:1]])]
    found.append(("another type", [{}] * len(rows)))
    if column.default is None:
        found.append(("absent", None))
    if column.dtype is not None and len(column.shape) == 1 and column.dtype is not np.float64:
        found.append(("a fraction", [0.5] * len(rows)))
    if column.refers:
        found.append(("beyond its axis", np.full_like(np.asarray(rows), 99).tolist()))
    return found


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda value: getattr(value, "name", value))
def test_a_wrong_stored_column_is_named(table: str, column: Column) -> None:
    stored = json.loads(json.dumps(full().to_json()))
    assert snapshot_from_json(stored).to_json() == full().to_json()
    for problem, value in broken(column, stored[table][column.name]):
        with pytest.raises(InvalidInput) as raised:
            snapshot_from_json({**stored, table: {**stored[table], column.name: value}})
        assert f"{table}." in str(raised.value), problem


def test_columns_that_an_older_snapshot_lacks_get_their_defaults() -> None:
    stored = json.loads(json.dumps(full().to_json()))
    for table, column in COLUMNS:
        if column.default is not None:
            del stored[table][column.name]
    del stored["reservations"]
    stored["services"] = [7, 8]
    read = snapshot_from_json(stored)
    assert read.waiting.user.tolist() == [-1]
    assert read.nodes.domain.tolist() == [0, 0]
    assert read.reservations.count == 0
    assert (read.services.device_us.tolist(), read.services.devices.tolist()) == ([7, 8], [1, 1])
    assert plan(read, PlannerConfig()).placements


@dataclass(frozen=True, slots=True, eq=False)
class _Wider:
    """A table as it would be with one line more."""

    ids: Annotated[tuple[str, ...], Column("W", "id", "Job")]
    tasks: Annotated[I64, Column("W", "tasks", "Tasks")]
    bandwidth: Annotated[I64, Column("W", "Gbit/s", "Bandwidth between its tasks; 0: any", default=0)]


def test_a_new_column_is_one_line() -> None:
    table = GrowingTable(columns_of(_Wider))
    table.add({"ids": "a", "tasks": 2})
    written = table_to_json(_Wider(**table.columns()))
    assert written == {"ids": ["a"], "tasks": [2], "bandwidth": [0]}
    older = {name: values for name, values in written.items() if name != "bandwidth"}
    assert TableReader({}).read("wider", _Wider, older).bandwidth.tolist() == [0]
    with pytest.raises(InvalidInput, match=r"wider\.bandwidth"):
        TableReader({}).read("wider", _Wider, {**written, "bandwidth": ["fast"]})
