"""Accepts connections within their limits, checked before the TLS handshake, and ends those that exceed a time limit."""

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
"""Connections accepted in one turn of the event loop."""
RETRY_S = 0.5
"""Seconds without accepting after the system had no descriptor or memory for a connection."""
SWEEP_S = 1.0
"""Seconds between two checks of all connections against their time limits."""
SHUTDOWN_S = 5.0
"""Seconds for the closing handshake of a TLS connection."""
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""TCP keep-alive options: a peer that vanished from an idle connection is detected after two minutes."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
log = structlog.get_logger("http")


class GuardedConnection(LimitedConnection, Protocol):
    """The protocol of an accepted connection, as the listener uses it."""

    slot: Slot | None
    end_handshake: Callable[[], None] | None
    stalled_since_s: float | None
    """Monotonic time since which the response waits for its reader, in seconds; None if it does not wait."""

    @property
    def unread_bytes(self) -> int:
        """Bytes of the response that its reader has not taken yet."""
        ...

    def check(self, now_s: float, elapsed_s: float) -> None:
        """End the connection if it exceeds a time limit. `elapsed_s`: seconds since the last check."""
        ...


class Listener:
    """Accepts connections on one listening socket. To be used in the thread of its event loop."""

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
        """`make_protocol` returns a new GuardedConnection that is also an asyncio.Protocol."""
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
        """Accept no more connections; open ones go on."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def wait_closed(self) -> None:
        """Stop the periodic checks and return at once: the server itself waits for open connections."""
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
            self._admit(accepted, str(peer[0]) if isinstance(peer, tuple) else "-")

    def _pause(self) -> None:
        """Stop accepting for RETRY_S: the failed connection stays queued, so the event loop would call `_accept` without end."""
        self._loop.remove_reader(self._listening)
        self._loop.call_later(RETRY_S, self._resume)

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)

    def _admit(self, accepted: socket.socket, host: str) -> None:
        accepted.setblocking(False)
        key = None if host in self._proxies else address_key(host)
        slot, ended = self._limiter.admit(host, key, self._now_s())
        if ended is not None:
            self._refusals.record(Reason.EVICTED, ended.host)
        if isinstance(slot, Reason):
            self._refusals.record(slot, host)
            self._refuse(accepted)
            return
        protocol = slot.connection = self._make_protocol()
        protocol.slot = slot
        protocol.end_handshake = lambda: _shut(accepted)
        task = self._loop.create_task(self._connect(accepted, protocol, slot))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _refuse(self, accepted: socket.socket) -> None:
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
        """End the connections with the longest waiting responses until the rest holds at most `unread_bytes`."""
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
