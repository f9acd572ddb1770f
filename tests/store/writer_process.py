"""What test_kill runs and kills: a process that writes pairs of rows and says of each pair, once acknowledged, which.

Beside them a reader says what it was shown.
"""

from __future__ import annotations

import os
import threading

import sqlalchemy as sa
from tests.store.things import add, things

from pearlstreet.base.rng import SystemRng
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer, SealingKey

WRITERS = 4


def write_until_killed(url: str, run: str, key: bytes, fifo: str) -> None:
    """Write for ever; each acknowledged pair is a line in the pipe at `fifo`."""
    acknowledged = os.open(fifo, os.O_WRONLY)
    store = Store(Database(url), sealer=Sealer((SealingKey(key),), SystemRng()))
    threads = [
        threading.Thread(target=_write, args=(store, f"{run}-{n}", acknowledged)) for n in range(WRITERS)
    ]
    threads.append(threading.Thread(target=_show, args=(store, acknowledged)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write(store: Store, writer: str, acknowledged: int) -> None:
    number = 0
    while True:
        name = f"{writer}-{number:06d}"
        store.write(lambda tx, name=name: _pair(tx, name))
        os.write(acknowledged, f"{name}\n".encode())
        number += 1


def _show(store: Store, shown: int) -> None:
    """Tell what a reader sees beside the writers: a line with `?` before the newest row of each look."""
    while True:
        newest = store.read(
            lambda tx: tx.scalar(sa.select(things.c.id).order_by(things.c.id.desc()).limit(1))
        )
        if newest is not None:
            os.write(shown, f"?{newest}\n".encode())


def _pair(tx: Tx, name: str) -> None:
    add(tx, f"{name}-a")
    audit.record(tx, actor="test", action="pair", target=name)
    add(tx, f"{name}-b")
