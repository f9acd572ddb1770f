"""Fault kinds and the points of a simulated center where faults are injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pearlstreet.base.outcome import Outcome

if TYPE_CHECKING:
    from pearlstreet.sim.server import Server
    from pearlstreet.sim.world import World


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


@dataclass(slots=True)
class FaultContext:
    """One visit to an injection point. A fault sets `took_effect` if it changed anything; only then is it counted."""

    world: World
    server: Server
    method: str = ""
    key: str = ""
    """Id of the attempt that an engine call is about."""
    act: Callable[[], Outcome[object]] | None = None
    subject: Any = None
    """Order of a start, or request of a client."""
    took_effect: bool = field(default=False)

    def call(self) -> Outcome[object]:
        """Make the engine call and return its answer."""
        assert self.act is not None
        return self.act()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault."""

    name: str
    point: InjectionPoint
    inject: Callable[[FaultContext], Any]
    does: str
    methods: frozenset[str] = frozenset()
    """Engine methods into which it can be injected; empty: all."""
    weight: float = 1.0
    traits: frozenset[str] = frozenset()
    """Kinds of start in which it can take effect: `build`, `job`, `gang`; empty: all."""

    def fits(self, method: str, trait: str) -> bool:
        """Return whether the fault can take effect at this visit."""
        return (not self.methods or method in self.methods) and (not self.traits or trait in self.traits)
