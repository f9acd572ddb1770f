"""Reading the planner's window of 20,000 jobs out of 100,000 that wait, against the statement it replaced.

The old statement took the first 20,000 by priority and submit time, whoever's they were; it runs here in the same database with
the index it had. `--url postgresql://…` measures on PostgreSQL; otherwise SQLite in a folder.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from center import median, print_machine, scratch, verdict
from results_table import record

import pearlstreet.app.tables  # noqa: F401  registers every package's tables
from pearlstreet.compute.queueing.planning_window import WAITING_MAX, load_window
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy.tables import orgs, projects

RATIO_MAX = 2.0
ORGS, PROJECTS = 50, 5
GREEDY = 0.7
"""Share of all jobs that are one organisation's."""
OLD_INDEX = sa.Index("ix_old", waiting.c.blocked, waiting.c.priority, waiting.c.submitted_us)
waiting.indexes.discard(OLD_INDEX)
OLD = (
    sa.select(
        waiting.c.id, waiting.c.org_id, waiting.c.project_id, waiting.c.priority, waiting.c.submitted_us, waiting.c.not_before_us,
        waiting.c.array_id, waiting.c.array_index, waiting.c.array_max_running, waiting.c.reason_code, waiting.c.queue,
        waiting.c.served_device_us, waiting.c.attempts,
    )
    .where(waiting.c.blocked == sa.false(), waiting.c.array_size.is_(None))
    .where(waiting.c.not_before_us <= sa.bindparam("now_us"))
    .order_by(waiting.c.priority.desc(), waiting.c.submitted_us)
    .limit(WAITING_MAX)
)  # fmt: skip


def fill(tx: Tx, count: int) -> None:
    """Requests of one greedy organisation and of 49 others."""
    rng = random.Random(1)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        org = 0 if rng.random() < GREEDY else rng.randrange(1, ORGS)
        rows.append(
            {
                "id": f"job_{number:026d}",
                "org_id": f"org_{org:026d}",
                "project_id": f"prj_{org:013d}{rng.randrange(PROJECTS):013d}",
                "owner_kind": "job", "user_digest": "ann", "name": "train", "queue": "default", "blocked": False,
                "priority": rng.choice((0, 0, 0, 50, 100)), "submitted_us": number, "not_before_us": 0,
                "attempts": 0, "served_device_us": 0, "price_version_id": "prc_1",
            }
        )  # fmt: skip
    accounts = sorted({(row["org_id"], row["project_id"]) for row in rows})
    for org in sorted({org for org, _ in accounts}):
        tx.execute(
            sa.insert(orgs).values(id=org, slug=org, name=org, state="active", settings={}, created_us=0)
        )
    for org, project in accounts:
        tx.execute(sa.insert(projects).values(id=project, org_id=org, slug=project, name="p", created_us=0))
    rng.shuffle(rows)
    for start in range(0, len(rows), 10_000):
        tx.execute(sa.insert(waiting), rows[start : start + 10_000])


def timed(store: Store, read: Callable[[Tx], Any], rounds: int) -> float:
    """Milliseconds of one read; the median of some."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        store.read(read)
        seconds.append(time.perf_counter() - began)
    return median(seconds) * 1000


def measure(url: str, count: int, rounds: int) -> None:
    """Fill a database, then read the window both ways."""
    database = Database(url)
    metadata.create_all(database.engine)
    store = Store(database)
    store.write(lambda tx: fill(tx, count))
    new = timed(store, lambda tx: load_window(tx, {}, WAITING_MAX), rounds)
    database.write(lambda connection: OLD_INDEX.create(connection))
    old = timed(store, lambda tx: tx.execute(OLD, {"now_us": tx.now_us}).all(), rounds)
    print(
        f"{database.engine.dialect.name}: {count:,} wait; the window by turns {new:.0f} ms, the first by priority {old:.0f} "
        f"ms: {new / old:.2f} times, {verdict(new / old, RATIO_MAX, at_most=True)}"
    )
    record(f"planner's window of {count:,} waiting jobs", new, "ms", "the statement before", old)
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("PEARL_BENCH_SMOKE")))
    parser.add_argument("--folder", type=Path, default=None, help="where the data lies (default: TMPDIR)")
    parser.add_argument("--url", default=None, help="an empty PostgreSQL database")
    options = parser.parse_args()
    print_machine()
    count, rounds = (20_000, 1) if options.quick else (100_000, 7)
    with scratch(options.folder) as folder:
        measure(options.url or f"sqlite:///{folder / 'pearl.db'}", count, rounds)


if __name__ == "__main__":
    main()
