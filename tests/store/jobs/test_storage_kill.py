"""kill -9 over the storage meter, again and again: no byte-second that was stored is lost or billed twice.

The number of kills is PEARL_CRASH_CYCLES (10 unless told).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from pathlib import Path

import sqlalchemy as sa
from tests.conftest import KEY, make_store
from tests.store.jobs.storage_writer import ACTION, note_change, open_store, store_until_killed
from tests.store.kill import acknowledged_by

from pearlstreet.base.money import parse_yuan
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.tables import spans, streams
from pearlstreet.ledger.topups import top_up
from pearlstreet.storage.levels import INTERVAL_US, meter_org
from pearlstreet.storage.tables import storage_levels
from pearlstreet.store.core import Row, Store
from pearlstreet.store.tables import audit as audit_table
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org, create_project, list_projects

CYCLES = int(os.environ.get("PEARL_CRASH_CYCLES", "10"))
BASE_BYTES = 1 << 30
"""Stored all the time by each project, so that its level never falls to nothing, where a rest below a byte is dropped."""


def test_no_stored_byte_second_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/pearl.db"
    org_id = _make_tenant(url)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.store.jobs.storage_writer"])
    rng, told = random.Random(1), set[str]()
    for cycle in range(CYCLES):
        life = f"c{cycle:04d}", rng.randint(20, 120), rng.random() * 0.02
        told |= acknowledged_by(processes, store_until_killed, url, *life)
    store = open_store(url, KEY.secret)
    store.write(lambda tx: meter_org(tx, org_id))
    while post_due_spans(store, 1000):
        pass
    changes = _changes(store)
    assert told <= {row["target"] for row in changes}, "acknowledged and lost"
    projects = list_projects(store, SYSTEM, "acme")
    for project in projects:
        _check_project(store, project.id, changes)
    found = store.read(prove)
    assert found.is_right, found
    store.close()


def _make_tenant(url: str) -> str:
    make_store(url).close()
    store = open_store(url, KEY.secret)
    store.write(ensure_default_prices)
    org = create_org(store, SYSTEM, "acme")
    top_up(store, SYSTEM, org.id, parse_yuan("9000"))
    create_project(store, SYSTEM, "acme", "vision")
    for project in list_projects(store, SYSTEM, "acme"):
        store.write(lambda tx, id_=project.id: note_change(tx, f"base {id_}", org.id, id_, BASE_BYTES))
    store.close()
    return org.id


def _changes(store: Store) -> list[Row]:
    query = sa.select(audit_table).where(audit_table.c.action == ACTION).order_by(audit_table.c.seq)
    rows = store.read(lambda tx: tx.rows(query))
    return [{"target": row["target"], **json.loads(row["details"])} for row in rows]


def _check_project(store: Store, project_id: str, changes: list[Row]) -> None:
    """Spans and what the level still carries come to exactly what was stored and for how long."""
    own = [row for row in changes if row["project"] == project_id]
    (level,) = store.read(
        lambda tx: tx.rows(sa.select(storage_levels).where(storage_levels.c.project_id == project_id))
    )
    query = (
        sa.select(spans.c.start_us, spans.c.end_us, spans.c.amount)
        .join(streams, streams.c.id == spans.c.stream_id)
        .where(streams.c.source == "storage", streams.c.project_id == project_id)
        .order_by(spans.c.start_us)
    )
    metered = store.read(lambda tx: tx.rows(query))
    assert len(metered) > CYCLES // 2
    assert [row["end_us"] for row in metered[:-1]] == [row["start_us"] for row in metered[1:]]
    assert level["stored_bytes"] == sum(row["more"] for row in own)
    until_us = level["metered_us"]
    assert (metered[0]["start_us"], metered[-1]["end_us"]) == (own[0]["at"], until_us)
    billed = sum(row["amount"] * (row["end_us"] - row["start_us"]) for row in metered)
    stored = sum(row["more"] * (until_us - row["at"]) for row in own)
    assert billed + int(level["byte_us"]) == stored
    assert int(level["byte_us"]) < max(INTERVAL_US, metered[-1]["end_us"] - metered[-1]["start_us"])
