"""Points of a simulated center where faults are injected."""

from __future__ import annotations

from enum import StrEnum


class InjectionPoint(StrEnum):
    """Where a fault can be injected."""

    ENGINE = "engine"
    """During a call of the engine; the fault returns the answer in its place."""
    BEFORE_WRITE = "before_write"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_READ = "before_read"
    HINT = "hint"
    """Point before a hint wakes a loop; a fault suppresses the hint."""
    CLIENT = "client"
    """Point before a tenant sends a request that it may repeat."""
    WORLD = "world"
    """Point between two steps."""
