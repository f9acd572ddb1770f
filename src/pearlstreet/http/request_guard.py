"""Bounds of one connection's requests, as their bytes come in: pure, so that every server's parser can be held to them."""

from __future__ import annotations

from enum import Enum

from pearlstreet.http.limits import CHUNK_OVERHEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX, HttpLimits
from pearlstreet.http.refusals import Reason

PIECE_BYTES = 4 << 10
"""Bytes handed to a parser at once, so that what a limit refuses was not parsed by the megabyte."""
CHUNK_LINE_BYTES = 16
"""Bytes of framing that a chunk may cost."""
IDLE_S = 0.1
"""Seconds a connection may stay silent before it may be ended for another: so 1,024 of one address admit 10,000 newcomers a second."""
_BLANK_LINE = b"\r\n\r\n"
"""What ends a header, and a body in chunks."""


class LimitExceededError(Exception):
    """A request beyond a limit: the reason, and the status it is answered with."""

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(reason.value)
        self.reason, self.status = reason, status


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "idle"
    """The first byte of the next request."""
    HEADER = "header"
    BODY = "body"
    RESPONSE = "response"
    """The request is complete; its response is not."""


class RequestGuard:
    """Counts what a client sends. A server calls it before and after its parser, and from the parser's callbacks."""

    __slots__ = (
        "_body_bytes", "_chunks", "_credit_s", "_framed_bytes", "_header_bytes", "_header_fields",
        "_limits", "_remaining", "_since_s", "_tail", "_url_bytes", "is_chunked", "is_new", "phase",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits, now_s: float) -> None:
        self._limits = limits
        self.phase = Phase.IDLE
        self.is_new = True
        """Whether no request has been answered on this connection."""
        self.is_chunked = True
        self._since_s = now_s
        self._credit_s = limits.transfer_grace_s
        self._remaining = 0
        self._tail = b""
        """The last three bytes parsed, of a header or chunks."""
        self._header_bytes = self._header_fields = self._url_bytes = 0
        self._body_bytes = self._framed_bytes = self._chunks = 0

    # -- around the parser

    def next_piece(self, data: bytes, start: int) -> int:
        """Return where the next piece to parse ends: no later than a request does, and after 4 KiB of header or chunks."""
        if self.phase is Phase.BODY and not self.is_chunked and self._remaining > 0:
            return min(len(data), start + self._remaining)
        end = min(len(data), start + PIECE_BYTES)
        if self._tail:
            across = (self._tail + data[start : start + 3]).find(_BLANK_LINE)
            if across >= 0:
                end = start + across + 4 - len(self._tail)
                self._tail = b""
                return end
        blank = data.find(_BLANK_LINE, start, end)
        if blank >= 0:
            self._tail = b""
            return blank + 4
        self._tail = (self._tail + data[max(start, end - 3) : end])[-3:]
        return end

    def before_piece(self, count: int, now_s: float) -> None:
        """Count bytes before they are parsed. Raises LimitExceededError."""
        if self.phase is Phase.BODY:
            self._framed_bytes += count
            return
        if self.phase is Phase.IDLE:
            self.phase = Phase.HEADER
            self._header_bytes = 0
            if not self.is_new:
                self._since_s = now_s
        self._header_bytes += count
        if self._header_bytes > self._limits.header_bytes:
            raise LimitExceededError(Reason.HEADER_BYTES, 431)

    def after_piece(self) -> None:
        """Check what the parser has told of the piece. Raises LimitExceededError."""
        if self.phase is not Phase.BODY or not self.is_chunked:
            return
        overhead = self._framed_bytes - 2 * self._body_bytes - CHUNK_LINE_BYTES * self._chunks
        if overhead > CHUNK_OVERHEAD_BYTES_MAX:
            raise LimitExceededError(Reason.CHUNK_OVERHEAD, 400)

    # -- from the parser's callbacks

    def begin_message(self) -> None:
        """A request begins. Raises LimitExceededError inside a piece that should have ended with the one before."""
        if self.phase is Phase.RESPONSE:
            raise LimitExceededError(Reason.PIPELINING, 400)
        self._header_fields = self._url_bytes = 0

    def add_url(self, count: int) -> None:
        """A part of the request's address was read. Raises LimitExceededError."""
        self._url_bytes += count
        if self._url_bytes > REQUEST_LINE_BYTES_MAX:
            raise LimitExceededError(Reason.REQUEST_LINE, 414)

    def add_header(self) -> None:
        """A header or trailer field was read. Raises LimitExceededError."""
        self._header_fields += 1
        if self._header_fields > self._limits.header_fields:
            raise LimitExceededError(Reason.HEADER_FIELDS, 431)

    def end_header(self, content_length: int | None) -> None:
        """The header is complete; `content_length` None: the body, if any, comes in chunks."""
        self.phase = Phase.BODY
        self.is_chunked = content_length is None
        self._remaining = content_length or 0
        self._credit_s = self._limits.transfer_grace_s
        self._body_bytes = self._framed_bytes = self._chunks = 0

    def begin_chunk(self) -> None:
        """A chunk's line was read."""
        self._chunks += 1

    def add_body(self, count: int) -> None:
        """A part of the body was read."""
        self._body_bytes += count
        self._remaining -= count
        credit_s = self._credit_s + count / self._limits.transfer_bytes_per_s
        self._credit_s = min(self._limits.transfer_grace_s, credit_s)

    def end_message(self) -> None:
        """The request is complete."""
        self.phase = Phase.RESPONSE

    def end_response(self, now_s: float) -> None:
        """The response is complete. Whatever is left of the body must still come at its rate."""
        self.is_new = False
        if self.phase is Phase.RESPONSE:
            self.phase = Phase.IDLE
            self._since_s = now_s

    # -- time

    def overdue(self, now_s: float, elapsed_s: float, is_reading: bool) -> Reason | None:
        """Return the limit in time that is broken, if any. Ask about once a second.

        `elapsed_s`: since the last time; `is_reading`: whether the server takes more of a body now.
        """
        waited_s = now_s - self._since_s
        if self.phase is Phase.HEADER or (self.phase is Phase.IDLE and self.is_new):
            return Reason.HEADER_TIME if waited_s > self._limits.header_s else None
        if self.phase is Phase.BODY and is_reading:
            self._credit_s -= elapsed_s
            return Reason.BODY_RATE if self._credit_s < 0 else None
        return None

    def is_keep_alive_over(self, now_s: float) -> bool:
        """Whether an idle connection was kept for long enough."""
        return (
            self.phase is Phase.IDLE and not self.is_new and now_s - self._since_s > self._limits.keep_alive_s
        )

    def is_idle(self, now_s: float) -> bool:
        """Whether it has waited for a complete header for longer than IDLE_S, or for a body that lags by more than 2 s."""
        if self.phase is Phase.BODY:
            return self._credit_s < self._limits.transfer_grace_s - 2
        return self.phase is not Phase.RESPONSE and now_s - self._since_s > IDLE_S
