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
    """A call of the engine. The fault answers in its place."""
    BEFORE_WRITE = "before_write"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_READ = "before_read"
    HINT = "hint"
    """A hint is about to wake a loop. The fault says whether the hint is lost."""
    CLIENT = "client"
    """A tenant is about to send a request that it may repeat."""
    WORLD = "world"
    """Between two steps."""


@dataclass(slots=True)
class FaultContext:
    """One visit to an injection point. A fault sets `took_effect` if it changed anything; only those are counted."""

    world: World
    server: Server
    method: str = ""
    key: str = ""
    """The attempt an engine's call is about."""
    act: Callable[[], Outcome[Any]] | None = None
    subject: Any = None
    """The order of a start, the topic of a hint."""
    took_effect: bool = field(default=False)

    def call(self) -> Outcome[Any]:
        """The engine's own answer."""
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
    """Engine methods it can be injected into; empty: all."""
    weight: float = 1.0
    traits: frozenset[str] = frozenset()
    """What a start must be of, so that it can take effect: `build`, `job`, `gang`; empty: anything."""

    def fits(self, method: str, trait: str) -> bool:
        """Whether it could take effect at this visit."""
        return (not self.methods or method in self.methods) and (not self.traits or trait in self.traits)
