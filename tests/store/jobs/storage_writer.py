"""What test_storage_kill runs and kills: files come and go, storage is metered and posted, on a clock that runs fast."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.base.clock import SystemClock
from pearlstreet.base.rng import SystemRng
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.storage.levels import change_level
from pearlstreet.storage.loop import LOOP, meter_due
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.loop import RowGuard
from pearlstreet.store.sealing import Sealer, SealingKey
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import list_projects

SPEED = 36_000
"""Seconds of the center in one real second: ten hours, so that every life meters several spans."""
WRITERS = 3
FILE_BYTES_MAX = 5 << 30
ACTION = "test.level"


def fast_clock(start_ns: int) -> SystemClock:
    """A clock that runs SPEED times as fast as the machine's since `start_ns`."""
    return SystemClock(
        lambda: start_ns + (time.time_ns() - start_ns) * SPEED, lambda: time.monotonic_ns() * SPEED
    )


def open_store(url: str, key: bytes) -> Store:
    """The store on the fast clock, which began when the database was first opened so."""
    start = Path(f"{url.removeprefix('sqlite:///')}.start")
    if not start.exists():
        start.write_text(str(time.time_ns()))
    clock, sealer = fast_clock(int(start.read_text())), Sealer((SealingKey(key),), SystemRng())
    return Store(Database(url), clock=clock, rng=SystemRng(), sealer=sealer)


def store_until_killed(url: str, run: str, key: bytes, fifo: str) -> None:
    """Change levels for ever; the id of each acknowledged change is a line in the pipe at `fifo`."""
    acknowledged = os.open(fifo, os.O_WRONLY)
    store = open_store(url, key)
    projects = [(row.org_id, row.id) for row in list_projects(store, SYSTEM, "acme")]
    threads = [threading.Thread(target=_meter, args=(store,)), threading.Thread(target=_post, args=(store,))]
    threads += [
        threading.Thread(target=_change, args=(store, projects, f"{run}-{number}", acknowledged))
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _change(store: Store, projects: list[tuple[str, str]], name: str, acknowledged: int) -> None:
    """Every file that comes goes again, unless the process dies in between."""
    rng, number = random.Random(name), 0
    while True:
        org_id, project_id = rng.choice(projects)
        size = rng.randint(1, FILE_BYTES_MAX)
        for more in (size, -size):
            change = f"{name}-{number:06d}"
            store.write(lambda tx, c=change, m=more, o=org_id, p=project_id: note_change(tx, c, o, p, m))
            os.write(acknowledged, f"{change}\n".encode())
            number += 1


def note_change(tx: Tx, change: str, org_id: str, project_id: str, more_bytes: int) -> None:
    """Change a level, and write down when and by how much, which nothing of the meter does."""
    change_level(tx, org_id, project_id, more_bytes)
    details = {"project": project_id, "more": more_bytes, "at": tx.now_us}
    audit.record(tx, actor="test", action=ACTION, target=change, org_id=org_id, details=details)


def _meter(store: Store) -> None:
    guard = RowGuard(LOOP)
    while True:
        meter_due(guard, store)
        time.sleep(0.002)


def _post(store: Store) -> None:
    while True:
        post_due_spans(store, 100)
        time.sleep(0.01)
