"""Descriptors of the process: raised to what is allowed, shared between connections and everything else."""

from __future__ import annotations

import resource

RESERVED = 384
"""Descriptors kept back: 72 of the database's pools with three files each, 64 uploads, and 104 for loops, logs, engines."""
CONNECTIONS_MIN = 16
"""Below this a server would be of no use."""


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to its hard limit and return it. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


def permitted_connections(wanted: int, descriptors: int) -> int:
    """Return how many connections fit beside the reserve; each may hold a file open besides its socket."""
    reserved = min(RESERVED, descriptors // 2)
    return max(CONNECTIONS_MIN, min(wanted, (descriptors - reserved) // 2))
