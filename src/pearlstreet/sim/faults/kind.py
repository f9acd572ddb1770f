"""Fault kinds, and one visit of a fault to a point of a simulated center."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.contracts import SimulatedServer, SimulatedWorld
from pearlstreet.sim.faults.points import InjectionPoint


@dataclass(slots=True)
class FaultContext:
    """One visit to an injection point. A fault sets `took_effect` if it changed anything; only then is it counted."""

    world: SimulatedWorld
    server: SimulatedServer
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
