"""Accepts connections within their caps, before a TLS handshake costs anything, and sweeps them for broken time limits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol, cast

import structlog

from pearlstreet.http.addresses import TrustedProxies, address_key
from pearlstreet.http.connection_limiter import ConnectionLimiter, LimitedConnection, Slot
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.refusals import Reason, RefusalLog

ACCEPT_AT_ONCE = 16
"""Connections accepted before others get their turn."""
RETRY_S = 0.5
"""Pause before accepting again when the system gives no descriptor or memory."""
SWEEP_S = 1.0
SHUTDOWN_S = 5.0
"""Seconds for the end of a TLS connection."""
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A peer that vanished while nothing was sent is noticed after two minutes."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
log = structlog.get_logger("http")


class GuardedConnection(LimitedConnection, Protocol):
    """A protocol that the listener accepts connections for."""

    slot: Slot | None
    end_handshake: Callable[[], None] | None
    stalled_since_s: float | None
    """Since when its response waits for the reader."""

    @property
    def unread_bytes(self) -> int:
        """Bytes of its response that wait."""
        ...

    def check(self, now_s: float, elapsed_s: float) -> None:
        """Hold the connection to its limits in time."""
        ...


class Listener:
    """Accepts on one listening socket. For the thread of its event loop."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], Any],
        *,
        limits: HttpLimits,
        limiter: ConnectionLimiter,
        refusals: RefusalLog,
        proxies: TrustedProxies,
        now_s: Callable[[], float],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`make_protocol`: a new GuardedConnection that is an asyncio.Protocol."""
        self._listening, self._make_protocol = listening, make_protocol
        self._limits, self._limiter, self._refusals, self._proxies = limits, limiter, refusals, proxies
        self._tls, self._now_s = tls, now_s
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._swept_s = now_s()
        self._is_closed = False
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # accepted sockets inherit it
        for option, value in KEEPALIVE:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)
        self._loop.add_reader(listening, self._accept)
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Accept no more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def wait_closed(self) -> None:
        """Return at once: connections are waited for by the server."""
        self._sweeping.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    log.warning("accept failed", error=str(error))
                self._refusals.record(Reason.DESCRIPTORS, "-")
                self._pause()
                return
            self._welcome(accepted, str(peer[0]) if isinstance(peer, tuple) else "-")

    def _pause(self) -> None:
        """Leave the queue to the kernel for a moment; the reader would be called without end."""
        self._loop.remove_reader(self._listening)
        self._loop.call_later(RETRY_S, self._resume)

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)

    def _welcome(self, accepted: socket.socket, host: str) -> None:
        accepted.setblocking(False)
        key = None if host in self._proxies else address_key(host)
        slot, ended = self._limiter.admit(host, key, self._now_s())
        if ended is not None:
            self._refusals.record(Reason.EVICTED, ended.host)
        if isinstance(slot, Reason):
            self._refusals.record(slot, host)
            self._turn_away(accepted)
            return
        protocol = slot.connection = self._make_protocol()
        protocol.slot = slot
        protocol.end_handshake = lambda: _shut(accepted)
        task = self._loop.create_task(self._connect(accepted, protocol, slot))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _turn_away(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is None:
                accepted.send(BUSY)
            accepted.shutdown(socket.SHUT_WR)
        accepted.close()

    async def _connect(self, accepted: socket.socket, protocol: Any, slot: Slot) -> None:
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls,
                "ssl_handshake_timeout": self._limits.handshake_s,
                "ssl_shutdown_timeout": SHUTDOWN_S,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted, **tls)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self._limiter.release(slot)
            if not isinstance(error, ConnectionError) or isinstance(error, ConnectionAbortedError):
                self._refusals.record(Reason.HANDSHAKE, slot.host)
            if not tls:
                accepted.close()
        except BaseException:
            self._limiter.release(slot)
            raise

    def _sweep(self) -> None:
        now_s = self._now_s()
        elapsed_s, self._swept_s = now_s - self._swept_s, now_s
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
        unread: list[tuple[float, int, GuardedConnection]] = []
        for slot in self._limiter.open:
            connection = cast("GuardedConnection", slot.connection)
            connection.check(now_s, elapsed_s)
            if connection.stalled_since_s is not None:
                unread.append((connection.stalled_since_s, connection.unread_bytes, connection))
        self._bound_unread(unread)

    def _bound_unread(self, unread: list[tuple[float, int, GuardedConnection]]) -> None:
        """End the connections whose responses have waited longest, while all that wait hold too much memory."""
        excess = sum(count for _, count, _ in unread) - self._limits.unread_bytes
        for _, count, connection in sorted(unread, key=lambda item: item[0]):
            if excess <= 0:
                return
            excess -= count
            self._refusals.record(Reason.RESPONSE_RATE, connection.slot.host if connection.slot else "-")
            connection.abort()


def _shut(accepted: socket.socket) -> None:
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)
