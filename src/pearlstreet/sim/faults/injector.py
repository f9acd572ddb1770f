"""Fault injector: draws faults and counts those that took effect."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pearlstreet.sim.chance import Chance
from pearlstreet.sim.faults.kind import FaultContext, Kind
from pearlstreet.sim.faults.points import InjectionPoint


class FaultInjector:
    """Injects the faults of one world."""

    def __init__(self, chance: Chance, kinds: Sequence[Kind], rates: Mapping[InjectionPoint, float]) -> None:
        self._chance, self._rates = chance, rates
        self._kinds: dict[InjectionPoint, list[Kind]] = defaultdict(list)
        for kind in kinds:
            self._kinds[kind.point].append(kind)
        self._fitting: dict[tuple[InjectionPoint, str, str], list[tuple[Kind, float]]] = {}
        self._suspended = 0
        self.counts: Counter[str] = Counter()
        self.over = False

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inject no fault inside this context."""
        self._suspended += 1
        try:
            yield
        finally:
            self._suspended -= 1

    @property
    def is_suspended(self) -> bool:
        """Whether no fault can be injected now."""
        return self.over or self._suspended > 0

    def draw(self, point: InjectionPoint, method: str = "", trait: str = "") -> Kind | None:
        """Return the fault kind to inject at this visit, or None. `trait`: kind of start (`build`, `job`, `gang`)."""
        if self.is_suspended or not self._chance.happens(self._rates[point]):
            return None
        fitting = self._fitting.get((point, method, trait))
        if fitting is None:
            kinds = [kind for kind in self._kinds[point] if kind.fits(method, trait)]
            fitting = self._fitting[point, method, trait] = [(kind, kind.weight) for kind in kinds]
        return self._chance.weighted(fitting) if fitting else None

    def inject(self, kind: Kind, context: FaultContext) -> Any:
        """Inject a fault and count it if it took effect, even if it raises."""
        with self.suspended():
            try:
                return kind.inject(context)
            finally:
                if context.took_effect:
                    self.counts[kind.name] += 1
                    context.world.note(
                        context.server.name, f"fault {kind.name} {context.method} {context.key}".rstrip()
                    )
