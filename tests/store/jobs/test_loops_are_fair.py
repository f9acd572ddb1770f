"""Every loop over leased rows serves organisations by turns: 200 due rows of one delay no other's row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store.loop import RowLoop
from pearlstreet.tenancy.notices.loops import notice_loops
from pearlstreet.tenancy.notices.sending import Channels

READY: Mapping[str, Mapping[str, Any]] = {
    "start_attempts": {"state": "placed", "stop_reason": None},
    "stop_attempts": {"state": "running", "stop_reason": "cancelled"},
    "collect_outputs": {"state": "collecting"},
    "send_notices": {"state": "due"},
    "save_checkpoints": {},
    "burn_in": {"state": "waiting"},
}
"""Loop → what makes a row one of its own. A new loop gets a line here."""


def _row_loops(center: Center) -> dict[str, RowLoop[Any, Any, Any]]:
    found = (*center.loops, *notice_loops(Channels(), VirtualClock()))
    return {loop.name: loop for loop in found if isinstance(loop, RowLoop)}


def _row(table: sa.Table, row_id: str, org: str, due_us: int, ready: Mapping[str, Any]) -> dict[str, Any]:
    """A row with something in every column that must have a value."""
    values: dict[str, Any] = {}
    for column in table.c:
        if column.nullable or column.server_default is not None:
            continue
        kind = column.type
        text = isinstance(kind, sa.String)
        values[column.name] = row_id if text else {} if isinstance(kind, sa.JSON) else 0
    account = "org_id" if "org_id" in table.c else "node"
    return values | ready | {"id": row_id, account: org, "due_us": due_us}


def test_every_loop_is_known_here(tmp_path: Path) -> None:
    assert set(_row_loops(Center(tmp_path))) == set(READY)


@pytest.mark.parametrize("name", READY)
def test_a_full_backlog_of_one_delays_no_other(tmp_path: Path, name: str) -> None:
    center = Center(tmp_path)
    loop = _row_loops(center)[name]
    table = loop.table
    rows = [_row(table, f"a{n:03d}", "greedy", n + 1, READY[name]) for n in range(200)]
    rows += [_row(table, f"b{n}", "small", 10_000 + n, READY[name]) for n in range(2)]
    center.store.write(lambda tx: tx.execute(sa.insert(table), rows))
    chosen = list(center.store.read(loop._choose))
    assert len(chosen) == loop.batch
    assert chosen[:2] == ["a000", "b0"]
    assert chosen[3] == "b1"
