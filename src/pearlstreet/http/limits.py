"""What one client may cost an HTTP server, as values."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_OVERHEAD_BYTES_MAX = 16 << 10
"""Bytes of chunk lines, extensions and trailers beyond 16 a chunk and one per byte of body (the rule of Go's net/http)."""
REQUEST_LINE_BYTES_MAX = 16 << 10
"""Bytes of a request's address; RFC 9112 asks for at least 8,000."""
LINGER_S = 2.0
"""Seconds for which a refused client's bytes are still read, so that it sees the answer and not a reset."""
CLOSING_S = 10.0
"""Seconds a closed connection gets to take what was written to it."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server; times in seconds. The defaults are those of `pearl.toml`."""

    connections: int = 4_096
    """Open connections in all."""
    connections_per_address: int = 1_024
    """Open connections of one IPv4 address or IPv6 /64 network."""
    streams: int = 2_000
    """Event streams and followed logs in all."""
    streams_per_address: int = 512
    streams_per_user: int = 256
    """Event streams and followed logs of one user or key."""
    header_bytes: int = 64 << 10
    """Bytes of a request line and its header fields."""
    header_fields: int = 100
    header_s: float = 20.0
    """Seconds from a connection's start, or a request's first byte, to the end of its header."""
    transfer_bytes_per_s: float = 500.0
    """Minimum rate of a request body, and of a response that waits for its reader."""
    transfer_grace_s: float = 20.0
    """Seconds that a transfer may lag behind that rate (Apache's mod_reqtimeout: 20 s and 500 bytes/s)."""
    unread_bytes: int = 256 << 20
    """Bytes of responses in all that wait for readers; beyond it those that wait longest are ended."""
    keep_alive_s: float = 75.0
    """Seconds an idle connection is kept for the next request."""
    handshake_s: float = 10.0
    """Seconds for a TLS handshake."""
