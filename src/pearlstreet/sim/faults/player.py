"""Draws faults and counts those that really took effect."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pearlstreet.sim.chance import Chance
from pearlstreet.sim.faults.kind import FaultContext, InjectionPoint, Kind


class Faults:
    """The faults of one world."""

    def __init__(self, chance: Chance, kinds: Sequence[Kind], rates: Mapping[InjectionPoint, float]) -> None:
        self._chance, self._rates = chance, rates
        self._kinds: dict[InjectionPoint, list[Kind]] = defaultdict(list)
        for kind in kinds:
            self._kinds[kind.point].append(kind)
        self._fitting: dict[tuple[InjectionPoint, str, str], list[tuple[Kind, float]]] = {}
        self._calm = 0
        self.counts: Counter[str] = Counter()
        self.over = False

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Inject no fault inside this context."""
        self._calm += 1
        try:
            yield
        finally:
            self._calm -= 1

    @property
    def asleep(self) -> bool:
        """Whether no fault can be injected now."""
        return self.over or self._calm > 0

    def draw(self, point: InjectionPoint, method: str = "", trait: str = "") -> Kind | None:
        """Return the fault kind to inject at this visit, if any. `trait`: what is started, a `build`, a `job` or a `gang`."""
        if self.asleep or not self._chance.happens(self._rates[point]):
            return None
        fitting = self._fitting.get((point, method, trait))
        if fitting is None:
            found = [kind for kind in self._kinds[point] if kind.fits(method, trait)]
            fitting = self._fitting[point, method, trait] = [(kind, kind.weight) for kind in found]
        return self._chance.weighted(fitting) if fitting else None

    def inject(self, kind: Kind, context: FaultContext) -> Any:
        """Let it happen; counted when it took effect, also when it ends the work under way."""
        with self.calm():
            try:
                return kind.inject(context)
            finally:
                if context.took_effect:
                    self.counts[kind.name] += 1
                    context.world.note(
                        context.server.name, f"fault {kind.name} {context.method} {context.key}".rstrip()
                    )
