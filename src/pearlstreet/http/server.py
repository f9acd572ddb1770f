"""uvicorn's server with a listener and a protocol that enforce limits."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import uvicorn

from pearlstreet.base.clock import Clock
from pearlstreet.http.addresses import TrustedProxies
from pearlstreet.http.connection_limiter import ConnectionLimiter
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.listener import Listener
from pearlstreet.http.pipeline_turns import PipelineTurns
from pearlstreet.http.protocol import GuardedProtocol
from pearlstreet.http.refusals import refusals


class GuardedServer(uvicorn.Server):
    """Serves one ASGI application, within limits, on listening sockets that the caller passes."""

    def __init__(
        self, config: uvicorn.Config, limits: HttpLimits, proxies: TrustedProxies, clock: Clock
    ) -> None:
        super().__init__(config)
        self._clock = clock
        self._limits, self._proxies = limits, proxies
        self._turns = PipelineTurns()
        self._limiter = ConnectionLimiter(limits.connections, limits.connections_per_address)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections on `sockets`."""
        await self.lifespan.startup()
        listeners = [self._listen(listening) for listening in sockets or []]
        self.servers = cast("list[asyncio.base_events.Server]", listeners)
        self.started = True

    def _listen(self, listening: socket.socket) -> Listener:
        return Listener(
            listening,
            self._make_protocol,
            limits=self._limits,
            limiter=self._limiter,
            refusals=refusals,
            proxies=self._proxies,
            now_s=self._clock.monotonic_s,
            tls=self.config.ssl,
        )

    def _make_protocol(self) -> GuardedProtocol:
        state: dict[str, object] = self.lifespan.state
        return GuardedProtocol(
            self.config,
            self.server_state,
            state,
            limits=self._limits,
            limiter=self._limiter,
            turns=self._turns,
            refusals=refusals,
            now_s=self._clock.monotonic_s,
        )
