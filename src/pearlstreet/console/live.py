"""Notification of open pages about changes, by one poll of the database for all pages and one event stream per page.

An event carries no data: the page requests its live parts again, and unchanged parts answer 304. Losing an event only
costs latency, because pages also refresh by themselves from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio.to_thread
import sqlalchemy as sa
import structlog

from pearlstreet.base.errors import PearlError
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.console.metrics import OPEN
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import state_events

POLL_S = 0.3
BEAT_S = 20.0
"""Interval of keep-alive messages on idle streams, so that proxies keep them open and dead peers are noticed."""
EVENTS_MAX = 2_000
"""Most state events read per poll; if there are more, all pages are notified."""
log = structlog.get_logger("live")


@dataclass(eq=False)
class PageListener:
    """One open page; `orgs`: the organisations that it shows, None for all."""

    orgs: frozenset[str] | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class ChangeNotifier:
    """Notifier of open pages; it polls for changes while any page is open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: set[PageListener] = set()
        self._task: asyncio.Task[None] | None = None

    async def listen(self, orgs: frozenset[str] | None) -> AsyncIterator[bytes]:
        """Yield the event stream of one page."""
        listener = PageListener(orgs)
        self._listeners.add(listener)
        OPEN.set(len(self._listeners))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            yield b"retry: 3000\nevent: hello\ndata:\n\n"
            while True:
                try:
                    await asyncio.wait_for(listener.changed.wait(), BEAT_S)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                listener.changed.clear()
                yield b"event: changed\ndata:\n\n"
        finally:
            self._listeners.discard(listener)
            OPEN.set(len(self._listeners))

    async def _watch(self) -> None:
        seen = await self._newest()
        while self._listeners:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(PearlError):
                seen, orgs = await anyio.to_thread.run_sync(self._changes, seen)
                self._wake(orgs)

    def _changes(self, seen: int) -> tuple[int, frozenset[str] | None]:
        return self._store.read(lambda tx: changes(tx, seen))

    async def _newest(self) -> int:
        query = sa.select(sa.func.max(state_events.c.seq))
        return await anyio.to_thread.run_sync(lambda: self._store.read(lambda tx: tx.scalar(query))) or 0

    def _wake(self, orgs: frozenset[str] | None) -> None:
        for listener in self._listeners:
            if orgs is None or (orgs if listener.orgs is None else orgs & listener.orgs):
                listener.changed.set()


def changes(tx: Tx, seen: int) -> tuple[int, frozenset[str] | None]:
    """Return the number of the newest state event, and the organisations with changes since `seen` (None: all)."""
    rows = tx.rows(
        sa.select(state_events.c.seq, state_events.c.entity_id)
        .where(state_events.c.seq > seen)
        .order_by(state_events.c.seq)
        .limit(EVENTS_MAX)
    )
    if not rows:
        return seen, frozenset()
    newest = int(rows[-1]["seq"])
    if len(rows) == EVENTS_MAX:
        return newest, None
    touched = {row["entity_id"] for row in rows}
    found: set[str] = set()
    for table in (jobs, attempts):
        of_table = sorted(one for one in touched if one.startswith("job_" if table is jobs else "att_"))
        for start in range(0, len(of_table), 500):
            part = of_table[start : start + 500]
            found |= {
                row["org_id"]
                for row in tx.rows(sa.select(table.c.org_id).where(table.c.id.in_(part)).distinct())
            }
    others = any(not one.startswith(("job_", "att_")) for one in touched)
    return newest, None if others else frozenset(found)
