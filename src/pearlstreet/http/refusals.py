"""Counts refused requests and connections: a metric by reason, and for each reason a log line at most every 10 s."""

from __future__ import annotations

from enum import StrEnum

import structlog
from prometheus_client import Counter, Gauge

from pearlstreet.base.clock import Clock, SystemClock
from pearlstreet.base.text import text

LOG_INTERVAL_S = 10.0
REFUSED = Counter(
    "pearl_http_refused_total", "Connections and requests refused or ended by a limit", ["reason"]
)
CONNECTIONS = Gauge("pearl_http_connections", "Open connections")
STREAMS = Gauge("pearl_http_streams", "Open event streams and followed logs")
log = structlog.get_logger("http")


class Reason(StrEnum):
    """Why a connection or request was refused or ended."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    EVICTED = "evicted"
    DESCRIPTORS = "descriptors"
    HANDSHAKE = "handshake"
    REQUEST_LINE = "request_line"
    HEADER_BYTES = "header_bytes"
    HEADER_FIELDS = "header_fields"
    HEADER_TIME = "header_time"
    BODY_RATE = "body_rate"
    CHUNK_OVERHEAD = "chunk_overhead"
    PIPELINING = "pipelining"
    RESPONSE_RATE = "response_rate"
    MALFORMED = "malformed"
    REQUESTS_PER_ADDRESS = "requests_per_address"
    STREAMS = "streams"
    STREAMS_PER_ADDRESS = "streams_per_address"
    STREAMS_PER_USER = "streams_per_user"


MESSAGES = {
    Reason.REQUEST_LINE: text("The address of the request is too long"),
    Reason.HEADER_BYTES: text("The header of the request is too large"),
    Reason.HEADER_FIELDS: text("The request has too many header fields"),
    Reason.HEADER_TIME: text("The header of the request took too long to arrive"),
    Reason.BODY_RATE: text("The body of the request arrived too slowly"),
    Reason.CHUNK_OVERHEAD: text("The chunks of the body carry more framing than data"),
    Reason.PIPELINING: text("A request was sent before the one before it had ended"),
    Reason.MALFORMED: text("This is not an HTTP/1.1 request that the center understands"),
}
"""Messages of error responses, sent in both languages, as the client's is not known yet."""


class RefusalLog:
    """Counts refusals; logs the first of a reason at once and later ones as a sum every ten seconds. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_s: dict[Reason, float] = {}
        self._unlogged: dict[Reason, int] = {}

    def record(self, reason: Reason, address: str) -> None:
        """Count one refusal of the client at `address`."""
        REFUSED.labels(reason.value).inc()
        count = self._unlogged.get(reason, 0) + 1
        now_s = self._clock.monotonic_s()
        logged_s = self._logged_s.get(reason)
        if logged_s is not None and now_s - logged_s < LOG_INTERVAL_S:
            self._unlogged[reason] = count
            return
        self._unlogged[reason] = 0
        self._logged_s[reason] = now_s
        log.warning("refused", reason=reason.value, count=count, last_address=address)


refusals = RefusalLog(SystemClock())
"""The refusal log of this process."""
