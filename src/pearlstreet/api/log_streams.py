"""Streams of growing logs: every 0.25 s one database read and one thread serve all followers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog

from pearlstreet.api.routing import in_thread
from pearlstreet.compute.engines.protocol import LogChunk
from pearlstreet.services.jobs import JobsService, LogPosition

PAUSE_S = 0.25
CHUNK_BYTES = 1 << 18
BATCH = 128
"""Logs per read: at CHUNK_BYTES each, at most 32 MiB in memory."""
log = structlog.get_logger("logs")
_Waiting = dict[asyncio.Future[tuple[LogPosition, LogChunk]], LogPosition]


class LogStreams:
    """The followers of one center's logs, for use on one event loop."""

    def __init__(self, jobs: JobsService) -> None:
        self._jobs = jobs
        self._waiting: _Waiting = {}
        self._task: asyncio.Task[None] | None = None

    async def follow(self, position: LogPosition) -> AsyncIterator[bytes]:
        """Yield the log from `position` until its attempt has ended."""
        chunk = LogChunk(b"", position.offset)
        while not chunk.ended:
            if len(chunk.data) >= CHUNK_BYTES:  # more is available, so read on without waiting
                position, chunk = (await in_thread(partial(self._read, [position])))[0]
            else:
                position, chunk = await self._read_on(position)
            if chunk.data:
                yield chunk.data

    def _read(self, positions: Sequence[LogPosition]) -> Sequence[tuple[LogPosition, LogChunk]]:
        return self._jobs.read_positions(positions, CHUNK_BYTES)

    async def _read_on(self, position: LogPosition) -> tuple[LogPosition, LogChunk]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[LogPosition, LogChunk]] = loop.create_future()
        self._waiting[future] = position
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._watch())
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    async def _watch(self) -> None:
        while self._waiting:
            waiting, self._waiting = list(self._waiting.items()), {}
            for start in range(0, len(waiting), BATCH):
                await self._answer(waiting[start : start + BATCH])
            await asyncio.sleep(PAUSE_S)

    async def _answer(
        self, batch: list[tuple[asyncio.Future[tuple[LogPosition, LogChunk]], LogPosition]]
    ) -> None:
        positions = [position for _, position in batch]
        try:
            read = await in_thread(partial(self._read, positions))
        except Exception as error:  # noqa: BLE001  an unresolved future would leave its follower waiting for ever
            log.warning("logs cannot be read", error=str(error))
            read = [(position, LogChunk(b"", position.offset)) for position in positions]
        for (future, _), result in zip(batch, read, strict=True):
            if not future.done():
                future.set_result(result)
