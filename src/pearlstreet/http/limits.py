"""Limits on what clients may use of an HTTP server."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_OVERHEAD_BYTES_MAX = 16 << 10
"""Bytes of chunk framing that a body may have beyond 16 per chunk and one per byte of data (the rule of Go's net/http)."""
REQUEST_LINE_BYTES_MAX = 16 << 10
"""Largest request line in bytes; RFC 9112 recommends to support at least 8,000."""
LINGER_S = 2.0
"""Seconds for which a refused client's bytes are still read, so that it receives the answer instead of a TCP reset."""
CLOSING_S = 10.0
"""Seconds that a client has to read the rest of a response after the server closed the connection."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server; times in seconds. The settings in `pearl.toml` have the same defaults."""

    connections: int = 4_096
    """Open connections in total."""
    connections_per_address: int = 1_024
    """Open connections of one IPv4 address or IPv6 /64 network."""
    streams: int = 2_000
    """Open event streams and followed logs in total."""
    streams_per_address: int = 512
    """Open event streams and followed logs of one IPv4 address or IPv6 /64 network."""
    streams_per_user: int = 256
    """Open event streams and followed logs of one user or API key."""
    header_bytes: int = 64 << 10
    """Largest size of a request line and its header fields, in bytes."""
    header_fields: int = 100
    """Largest number of header fields of a request."""
    header_s: float = 20.0
    """Seconds from a connection's start, or a request's first byte, to the end of its header."""
    transfer_bytes_per_s: float = 500.0
    """Minimum rate, in bytes per second, at which a client must send a request body and read a response."""
    transfer_grace_s: float = 20.0
    """Seconds that a transfer may lag behind the minimum rate (Apache's mod_reqtimeout: 20 s and 500 bytes/s)."""
    unread_bytes: int = 256 << 20
    """Bytes of unread responses of all connections; above it the connections whose readers are slow for longest are ended."""
    keep_alive_s: float = 75.0
    """Seconds for which an idle connection is kept open for the next request."""
    handshake_s: float = 10.0
    """Seconds for a TLS handshake."""
