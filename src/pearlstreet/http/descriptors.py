"""File descriptors of the process: raises their limit and computes how many connections it allows."""

from __future__ import annotations

import resource

RESERVED = 384
"""Descriptors kept for other uses: 72 database connections with three files each, 64 uploads, 104 for loops, logs, engines."""
CONNECTIONS_MIN = 16
"""Smallest number of connections a server permits, however few descriptors there are."""


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to its hard limit and return it. Child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


def permitted_connections(wanted: int, descriptors: int) -> int:
    """Return how many of `wanted` connections the descriptors allow; each may hold a file open besides its socket."""
    reserved = min(RESERVED, descriptors // 2)
    return max(CONNECTIONS_MIN, min(wanted, (descriptors - reserved) // 2))
