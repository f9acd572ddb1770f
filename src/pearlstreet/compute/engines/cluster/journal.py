"""Journal of a cluster engine's attempts: one file each on the server's own disk, which survives its restart.

What runs is known by the cluster; the journal knows what was ordered, as whom, and what must never start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.orders import plain_id


@dataclass(frozen=True, slots=True)
class Record:
    """What the engine knows of one attempt."""

    attempt_id: str
    user: str = ""
    """User of the cluster as whom it runs; empty: it was stopped before it was ordered."""
    ranks: int = 0
    nodes: int = 0
    ranks_per_node: int = 0
    job: str = ""
    """Id that the cluster gave it; empty: it may or may not have been submitted."""
    submission: dict[str, Any] = field(default_factory=dict)
    """What is submitted, to submit it again after a lost answer."""
    checkpoint: str = ""
    time_s: float | None = None
    ordered_us: int = 0
    stop_us: int | None = None
    """Time of the first request to stop it."""
    stop_grace_s: float = 0.0
    end: dict[str, Any] | None = None
    """Its last report, once it has ended."""

    @property
    def is_ordered(self) -> bool:
        """Whether a start was accepted."""
        return bool(self.user)


class Journal:
    """Records by attempt id, in memory and on disk. Thread-safe; the caller makes changes of one attempt one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard = threading.Lock()
        self._records: dict[str, Record] = {}
        for path in folder.glob("*.json"):
            value = files.read_json(str(folder), path.name)
            if value is not None:
                self._records[value["attempt_id"]] = Record(**value)

    def get(self, attempt_id: str) -> Record | None:
        """Return the record of an attempt; None: the engine has never heard of it."""
        return self._records.get(attempt_id)

    def all(self) -> Iterator[Record]:
        """Yield the records of ordered attempts by id."""
        with self._guard:
            records = sorted(self._records.items())
        yield from (record for _, record in records if record.is_ordered)

    def running(self) -> Iterator[Record]:
        """Yield the records of attempts that have not ended."""
        yield from (record for record in self.all() if record.end is None)

    def write(self, record: Record) -> Record:
        """Keep a record; it is on disk when this returns. Raises OSError."""
        assert plain_id(record.attempt_id)
        files.write_json(str(self._folder), f"{record.attempt_id}.json", asdict(record))
        with self._guard:
            self._records[record.attempt_id] = record
        return record

    def change(self, record: Record, **values: Any) -> Record:
        """Write a record with other values and return it. Raises OSError."""
        return self.write(replace(record, **values))

    def delete(self, attempt_id: str) -> None:
        """Forget an attempt. Raises OSError."""
        (self._folder / f"{attempt_id}.json").unlink(missing_ok=True)
        with self._guard:
            self._records.pop(attempt_id, None)
