"""kill -9 of a writing process, again and again: what was acknowledged is there, and no command is there by half.

The number of kills is PEARL_CRASH_CYCLES (30 unless told). A killed process leaves the operating system alive, so this
is about our transactions; that a commit reaches the disk rests on SQLite's synchronous=FULL, which a test reads back.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections import Counter
from pathlib import Path

import sqlalchemy as sa
from tests.conftest import make_store
from tests.store.kill import acknowledged_by
from tests.store.things import ids, with_things
from tests.store.writer_process import write_until_killed

from pearlstreet.store import audit
from pearlstreet.store.core import Store

CYCLES = int(os.environ.get("PEARL_CRASH_CYCLES", "30"))


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/pearl.db"
    with_things(make_store(url)).close()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.store.writer_process"])
    rng = random.Random(1)
    told: set[str] = set()
    for cycle in range(CYCLES):
        told |= acknowledged_by(
            processes, write_until_killed, url, f"c{cycle:04d}", rng.randint(1, 60), rng.random() * 0.01
        )
    store = make_store(url)
    shown = {name[1:] for name in told if name.startswith("?")}
    acknowledged = {name for name in told if not name.startswith("?")}
    assert shown and shown <= set(ids(store)), "shown to a reader and lost"
    kept = Counter(name.rpartition("-")[0] for name in ids(store))
    assert len(acknowledged) >= CYCLES
    assert acknowledged <= set(kept), "acknowledged and lost"
    assert set(kept.values()) == {2}, "half a command"
    report = store.read(audit.verify)
    assert (report.problem, report.rows) == (None, len(kept))
    _no_damage(store)
    store.close()


def _no_damage(store: Store) -> None:
    check = store.read(lambda tx: tx.connection.exec_driver_sql("PRAGMA integrity_check").scalars().all())
    assert check == ["ok"]


def test_a_commit_is_synced_before_it_is_acknowledged(sqlite_store: Store) -> None:
    read = lambda name: sqlite_store.write(lambda tx: tx.scalar(sa.text(f"PRAGMA {name}")))  # noqa: E731
    assert (read("journal_mode"), read("synchronous")) == ("wal", 2)
