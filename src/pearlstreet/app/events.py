"""Delivers the outbox to `log/events.jsonl`: one JSON line per event, at least once, in order; `seq` identifies duplicates.

A site's own tools (SIEM, ticketing) read this file; e-mail and webhooks are sent by tenancy/notices.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Store
from pearlstreet.store.loop import CycleLoop, Loop

CONSUMER = "events-file"
KEPT_US = 7 * 86_400 * US_PER_S
"""Retention of delivered events in the database, in microseconds."""
FILE_BYTES_MAX = 50 << 20
OLD_FILES = 5


def events_loop(folder: Path) -> Loop:
    """Return the loop that writes events to `folder`/events.jsonl as they are emitted."""
    return CycleLoop(
        name="deliver_events",
        cycle=partial(deliver, folder),
        hints=(outbox.TOPIC,),
        interval_s=10.0,
        rest=5.0,
    )


def deliver(folder: Path, store: Store) -> bool:
    """Append pending events, then move the cursor, so that a crash in between repeats lines but loses none."""
    rows = store.read(lambda tx: outbox.pending(tx, CONSUMER))
    if not rows:
        return False
    append(folder, rows)
    last = int(rows[-1]["seq"])

    def advance(tx: Any) -> None:
        outbox.advance(tx, CONSUMER, last)
        outbox.forget_delivered(tx, before_us=tx.now_us - KEPT_US)

    store.write(advance)
    return len(rows) >= 500


def append(folder: Path, rows: Sequence[Row]) -> None:
    """Append rows to the file and fsync it; a file above FILE_BYTES_MAX is rotated first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "events.jsonl"
    if file.exists() and file.stat().st_size > FILE_BYTES_MAX:
        _turn_over(file)
    lines = "".join(json.dumps(_line(row), ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def _turn_over(file: Path) -> None:
    for number in reversed(range(1, OLD_FILES)):
        old = file.with_name(f"{file.name}.{number}")
        if old.exists():
            old.replace(file.with_name(f"{file.name}.{number + 1}"))
    file.replace(file.with_name(f"{file.name}.1"))


def _line(row: Row) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "at": to_rfc3339(row["at_us"]),
        "topic": row["topic"],
        "org_id": row["org_id"],
        "payload": row["payload"],
    }
