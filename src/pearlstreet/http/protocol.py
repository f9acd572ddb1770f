"""uvicorn's HTTP/1.1 protocol with limits: bounded requests, a minimum transfer rate, one request at a time."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pearlstreet.base.text import LANGUAGES
from pearlstreet.http.connection_limiter import ConnectionLimiter, Slot
from pearlstreet.http.limits import CLOSING_S, LINGER_S, HttpLimits
from pearlstreet.http.pipeline_turns import PipelineTurns
from pearlstreet.http.refusals import MESSAGES, Reason, RefusalLog
from pearlstreet.http.request_guard import LimitExceededError, Phase, RequestGuard

LINGER_BYTES_MAX = 1 << 20
"""Bytes of a refused client that are read and discarded before its connection is ended."""
PIECES_AT_ONCE = 32
"""Pieces of one connection parsed in one turn of the event loop: a 4 KiB piece of tiny chunks takes half a millisecond."""
STALLED_IDLE_S = 5.0
"""Seconds after which a connection whose response is not read counts as idle, so that it may be evicted."""


class HeldFlow(FlowControl):
    """Flow control that does not resume reading while pipelined bytes wait for their turn."""

    is_held = False

    def resume_reading(self) -> None:
        """Resume reading, unless bytes are held."""
        if not self.is_held:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """One connection. The listener calls `check` about once a second."""

    flow: HeldFlow
    transport: asyncio.Transport | None  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        *,
        limits: HttpLimits,
        limiter: ConnectionLimiter,
        turns: PipelineTurns,
        refusals: RefusalLog,
        now_s: Callable[[], float],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.transport = None
        self.slot: Slot | None = None
        self.end_handshake: Callable[[], None] | None = None
        """Function that ends the connection during its TLS handshake, when there is no transport yet."""
        self._limits, self._limiter, self._refusals, self._now_s = limits, limiter, refusals, now_s
        self._guard = RequestGuard(limits, now_s())
        self._unparsed = b""
        self._turns, self._has_turn = turns, False
        self._content_length: int | None = 0
        self._is_chunked = False
        self._lingering_since_s: float | None = None
        self._lingered_bytes = 0
        self._closing_since_s: float | None = None
        self.stalled_since_s: float | None = None
        self._stalled_bytes = 0

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        self._guard = RequestGuard(self._limits, self._now_s())
        if self.slot is not None and self.slot.is_released:  # evicted during its handshake
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.slot is not None:
            self._limiter.release(self.slot)
        super().connection_lost(exc)
        self._unparsed = b""
        self._end_turn()

    def is_idle(self, now_s: float) -> bool:
        """Return whether the connection may be evicted: no request of it makes progress."""
        if self.transport is not None and (
            self._lingering_since_s is not None or self.transport.is_closing()
        ):
            return True
        if self.stalled_since_s is not None and now_s - self.stalled_since_s > STALLED_IDLE_S:
            return True
        return self._guard.is_idle(now_s)

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self.end_handshake is not None:
            self.end_handshake()

    # -- bytes in

    def data_received(self, data: bytes) -> None:
        if self._lingering_since_s is not None:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES_MAX:
                self.abort()
        elif self._unparsed or self._guard.phase is Phase.RESPONSE:
            self._hold(self._unparsed + data)
        else:
            self._parse(data)

    def _hold(self, data: bytes) -> None:
        """Keep bytes to be parsed later, and pause reading."""
        self._unparsed = data
        self.flow.pause_reading()
        self.flow.is_held = True

    def _go_on(self) -> None:
        """Parse the held bytes and resume reading, unless they belong to a pipelined request that has no turn yet."""
        if self._lingering_since_s is not None or self.transport is None or self.transport.is_closing():
            return
        if self._unparsed and self._guard.phase is Phase.RESPONSE:
            return
        self.flow.is_held = False
        data, self._unparsed = self._unparsed, b""
        if data:
            self._parse(data)
        if not self._unparsed and not self._is_body_waiting:
            self.flow.resume_reading()

    @property
    def _is_body_waiting(self) -> bool:
        """Whether the application has yet to take a large part of the body, so that reading stays paused."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and len(cycle.body) > HIGH_WATER_LIMIT

    def _parse(self, data: bytes) -> None:
        guard, at, end = self._guard, 0, len(data)
        now_s = self._now_s()
        try:
            for _ in range(PIECES_AT_ONCE):
                stop = guard.next_piece(data, at)
                guard.before_piece(stop - at, now_s)
                self.parser.feed_data(data if stop - at == end else memoryview(data)[at:stop])
                guard.after_piece()
                at = stop
                if at == end:
                    return
                if guard.phase is Phase.RESPONSE:  # the next request waits for this one's response
                    self._hold(data[at:])
                    return
            self._hold(data[at:])
            self.loop.call_soon(self._go_on)  # other connections first
        except LimitExceededError as error:
            self._refuse(error)
        except httptools.HttpParserUpgrade:
            # No upgrade is supported. The parser's state is unreliable after one: this request is the connection's last.
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            cause = error.__context__
            known = (
                cause if isinstance(cause, LimitExceededError) else LimitExceededError(Reason.MALFORMED, 400)
            )
            self._refuse(known)

    def on_message_begin(self) -> None:
        self._guard.begin_message()
        self._content_length, self._is_chunked = 0, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._guard.add_url(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._guard.add_header()
        name = name.lower()
        if name == b"content-length":
            self._content_length = int(value) if value.isdigit() and len(value) < 20 else 0
        elif name == b"transfer-encoding":
            if (
                value.strip().lower() != b"chunked"
            ):  # such as "gzip, chunked", which the server does not decode
                raise LimitExceededError(Reason.MALFORMED, 501)
            self._is_chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        if self._guard.phase is not Phase.BODY:  # trailers are counted and dropped
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._guard.end_header(None if self._is_chunked else self._content_length)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Called by the parser after a chunk's line."""
        self._guard.begin_chunk()

    def on_body(self, body: bytes) -> None:
        self._guard.add_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._guard.end_message()
        super().on_message_complete()
        if self.cycle.response_complete:  # the application answered before the whole body had arrived
            self._guard.end_response(self._now_s())

    # -- responses

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._guard.end_response(self._now_s())
        self._end_turn()
        if self._unparsed and self._guard.phase is Phase.IDLE:
            self._turns.ask(self)
        else:
            self._go_on()

    def take_turn(self) -> bool:
        """Begin the next pipelined request; return whether there is one."""
        self._has_turn = True
        self._go_on()
        if self._guard.phase is Phase.RESPONSE:
            return True
        self._has_turn = False
        return False

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.end()

    def pause_writing(self) -> None:
        super().pause_writing()
        assert self.transport is not None
        self.stalled_since_s = self._now_s()
        self._stalled_bytes = self.transport.get_write_buffer_size()
        self._end_turn()  # other connections do not wait for a slow reader

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stalled_since_s = None

    @property
    def unread_bytes(self) -> int:
        """Bytes of the response that the client has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: any client could fill the log with such warnings."""

    def _should_upgrade(self) -> bool:
        return False

    # -- limits

    def check(self, now_s: float, elapsed_s: float) -> None:
        """End the connection if it exceeds a time limit. `elapsed_s`: seconds since the last check."""
        transport = self.transport
        if transport is None:
            return
        if self._lingering_since_s is not None and now_s - self._lingering_since_s > LINGER_S:
            transport.abort()
        elif transport.is_closing():
            if self._closing_since_s is None:
                self._closing_since_s = now_s
            elif now_s - self._closing_since_s > CLOSING_S:
                transport.abort()
        elif self._is_stalled(transport, now_s):
            self._refusals.record(Reason.RESPONSE_RATE, self._host)
            transport.abort()
        elif self._guard.is_keep_alive_over(now_s):
            transport.close()
        else:
            self._check_request(now_s, elapsed_s)

    def _check_request(self, now_s: float, elapsed_s: float) -> None:
        waits_for_100 = self.cycle is not None and self.cycle.waiting_for_100_continue
        is_reading = not self.flow.read_paused and not waits_for_100
        reason = self._guard.overdue(now_s, elapsed_s, is_reading)
        if reason is None:
            return
        if self._guard.phase is Phase.IDLE:  # the client has not sent a byte
            self._refusals.record(reason, self._host)
            self.abort()
        else:
            self._refuse(LimitExceededError(reason, 408))

    def _is_stalled(self, transport: asyncio.Transport, now_s: float) -> bool:
        """Return whether the client reads its response more slowly than the minimum rate."""
        if self.stalled_since_s is None:
            return False
        late_s = now_s - self.stalled_since_s - self._limits.transfer_grace_s
        read_bytes = self._stalled_bytes - transport.get_write_buffer_size()
        return late_s > 0 and read_bytes < late_s * self._limits.transfer_bytes_per_s

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else "-"

    def _refuse(self, error: LimitExceededError) -> None:
        """Send an error response, unless a response has begun already, and end the connection."""
        self._refusals.record(error.reason, self._host)
        transport = cast(asyncio.Transport, self.transport)
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if cycle is not None and answering:
            cycle.disconnected = True
            cycle.message_event.set()
            self.flow.resume_writing()
        if transport.is_closing() or (answering and cycle.response_started):
            transport.abort()
            return
        transport.write(refusal_response(error.status, error.reason))
        self._lingering_since_s = self._now_s()
        self.flow.is_held = False
        self.flow.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()


def refusal_response(status: int, reason: Reason) -> bytes:
    """Return the bytes of an error response with `connection: close`; its body has the message in both languages."""
    phrase = http.HTTPStatus(status).phrase
    message = MESSAGES[reason]
    body = "".join(f"{message.render(language)}\n" for language in LANGUAGES).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
