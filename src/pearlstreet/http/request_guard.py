"""Checks the requests of one connection against limits while their bytes arrive. Pure: works with any HTTP parser."""

from __future__ import annotations

from enum import Enum

from pearlstreet.http.limits import CHUNK_OVERHEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX, HttpLimits
from pearlstreet.http.refusals import Reason

PIECE_BYTES = 4 << 10
"""Largest piece passed to the parser at once, so that little is parsed of a request that a limit then refuses."""
CHUNK_LINE_BYTES = 16
"""Bytes of framing that each chunk may have."""
IDLE_S = 0.1
"""Seconds without a request after which a connection may be evicted: so the 1,024 of one address can change 10,000 times a second."""
_BLANK_LINE = b"\r\n\r\n"
"""The bytes that end a header and a chunked body."""


class LimitExceededError(Exception):
    """A request exceeds a limit; holds the reason and the HTTP status of the answer."""

    def __init__(self, reason: Reason, status: int) -> None:
        super().__init__(reason.value)
        self.reason, self.status = reason, status


class Phase(Enum):
    """Part of a request that a connection waits for."""

    IDLE = "idle"
    """Waiting for the first byte of the next request."""
    HEADER = "header"
    """Waiting for the rest of a header."""
    BODY = "body"
    """Waiting for the rest of a body."""
    RESPONSE = "response"
    """Waiting for the application's response to a complete request."""


class RequestGuard:
    """Counts the bytes of a client's requests. A server calls it around its parser and from the parser's callbacks."""

    __slots__ = (
        "_body_bytes", "_chunks", "_credit_s", "_framed_bytes", "_header_bytes", "_header_fields",
        "_limits", "_remaining", "_since_s", "_tail", "_url_bytes", "is_chunked", "is_new", "phase",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits, now_s: float) -> None:
        self._limits = limits
        self.phase = Phase.IDLE
        self.is_new = True
        """Whether no request has been answered on this connection yet."""
        self.is_chunked = True
        self._since_s = now_s
        self._credit_s = limits.transfer_grace_s
        self._remaining = 0
        self._tail = b""
        """The last three bytes parsed of a header or a chunked body, to find a blank line across two pieces."""
        self._header_bytes = self._header_fields = self._url_bytes = 0
        self._body_bytes = self._framed_bytes = self._chunks = 0

    # -- around the parser

    def next_piece(self, data: bytes, start: int) -> int:
        """Return the end of the next piece to parse: the end of the request, or at most 4 KiB of a header or chunked body."""
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
        """Count `count` bytes that will be parsed next. Raises LimitExceededError."""
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
        """Check the framing of a chunked body after a piece was parsed. Raises LimitExceededError."""
        if self.phase is not Phase.BODY or not self.is_chunked:
            return
        overhead = self._framed_bytes - 2 * self._body_bytes - CHUNK_LINE_BYTES * self._chunks
        if overhead > CHUNK_OVERHEAD_BYTES_MAX:
            raise LimitExceededError(Reason.CHUNK_OVERHEAD, 400)

    # -- from the parser's callbacks

    def begin_message(self) -> None:
        """Begin a request. Raises LimitExceededError if the request before is still being answered."""
        if self.phase is Phase.RESPONSE:
            raise LimitExceededError(Reason.PIPELINING, 400)
        self._header_fields = self._url_bytes = 0

    def add_url(self, count: int) -> None:
        """Count `count` bytes of the request's URL. Raises LimitExceededError."""
        self._url_bytes += count
        if self._url_bytes > REQUEST_LINE_BYTES_MAX:
            raise LimitExceededError(Reason.REQUEST_LINE, 414)

    def add_header(self) -> None:
        """Count a header or trailer field. Raises LimitExceededError."""
        self._header_fields += 1
        if self._header_fields > self._limits.header_fields:
            raise LimitExceededError(Reason.HEADER_FIELDS, 431)

    def end_header(self, content_length: int | None) -> None:
        """End the header. `content_length` is in bytes, None for a chunked body."""
        self.phase = Phase.BODY
        self.is_chunked = content_length is None
        self._remaining = content_length or 0
        self._credit_s = self._limits.transfer_grace_s
        self._body_bytes = self._framed_bytes = self._chunks = 0

    def begin_chunk(self) -> None:
        """Count a chunk."""
        self._chunks += 1

    def add_body(self, count: int) -> None:
        """Count `count` bytes of the body, which earn time at the minimum transfer rate."""
        self._body_bytes += count
        self._remaining -= count
        credit_s = self._credit_s + count / self._limits.transfer_bytes_per_s
        self._credit_s = min(self._limits.transfer_grace_s, credit_s)

    def end_message(self) -> None:
        """End the request; its response is next."""
        self.phase = Phase.RESPONSE

    def end_response(self, now_s: float) -> None:
        """End the response. If the body is not complete yet, its rest must still arrive at the minimum rate."""
        self.is_new = False
        if self.phase is Phase.RESPONSE:
            self.phase = Phase.IDLE
            self._since_s = now_s

    # -- time

    def overdue(self, now_s: float, elapsed_s: float, is_reading: bool) -> Reason | None:
        """Return the time limit that the connection exceeds, or None. To be called about once a second.

        `elapsed_s`: seconds since the last call; `is_reading`: whether the server reads from the connection now.
        """
        waited_s = now_s - self._since_s
        if self.phase is Phase.HEADER or (self.phase is Phase.IDLE and self.is_new):
            return Reason.HEADER_TIME if waited_s > self._limits.header_s else None
        if self.phase is Phase.BODY and is_reading:
            self._credit_s -= elapsed_s
            return Reason.BODY_RATE if self._credit_s < 0 else None
        return None

    def is_keep_alive_over(self, now_s: float) -> bool:
        """Return whether the connection has been idle for longer than `keep_alive_s`."""
        return (
            self.phase is Phase.IDLE and not self.is_new and now_s - self._since_s > self._limits.keep_alive_s
        )

    def is_idle(self, now_s: float) -> bool:
        """Return whether a header is incomplete for longer than IDLE_S, or a body is over 2 s behind the minimum rate."""
        if self.phase is Phase.BODY:
            return self._credit_s < self._limits.transfer_grace_s - 2
        return self.phase is not Phase.RESPONSE and now_s - self._since_s > IDLE_S
