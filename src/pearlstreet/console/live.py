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
import structlog

from pearlstreet.base.errors import PearlError
from pearlstreet.console.metrics import OPEN
from pearlstreet.services.jobs import JobsService

POLL_S = 0.3
BEAT_S = 20.0
"""Interval of keep-alive messages on idle streams, so that proxies keep them open and dead peers are noticed."""
log = structlog.get_logger("live")


@dataclass(eq=False)
class PageListener:
    """One open page; `orgs`: the organisations that it shows, None for all."""

    orgs: frozenset[str] | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class ChangeNotifier:
    """Notifier of open pages; it polls for changes while any page is open."""

    def __init__(self, jobs: JobsService) -> None:
        self._jobs = jobs
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
        seen = await anyio.to_thread.run_sync(self._jobs.newest_change)
        while self._listeners:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(PearlError):
                seen, orgs = await anyio.to_thread.run_sync(self._jobs.changes_since, seen)
                self._wake(orgs)

    def _wake(self, orgs: frozenset[str] | None) -> None:
        for listener in self._listeners:
            if orgs is None or (orgs if listener.orgs is None else orgs & listener.orgs):
                listener.changed.set()
