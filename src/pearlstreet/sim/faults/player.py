"""Draws faults and counts those that really took effect."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pearlstreet.sim.chance import Chance
from pearlstreet.sim.faults.kind import Kind, Moment, Site


class Faults:
    """The faults of one world."""

    def __init__(self, chance: Chance, kinds: Sequence[Kind], rates: Mapping[Site, float]) -> None:
        self._chance, self._rates = chance, rates
        self._kinds: dict[Site, list[Kind]] = defaultdict(list)
        for kind in kinds:
            self._kinds[kind.site].append(kind)
        self._fitting: dict[tuple[Site, str, str], list[tuple[Kind, float]]] = {}
        self._calm = 0
        self.counts: Counter[str] = Counter()
        self.over = False

    @contextmanager
    def calm(self) -> Iterator[None]:
        """No fault strikes meanwhile."""
        self._calm += 1
        try:
            yield
        finally:
            self._calm -= 1

    @property
    def asleep(self) -> bool:
        """Whether none can strike now."""
        return self.over or self._calm > 0

    def draw(self, site: Site, method: str = "", trait: str = "") -> Kind | None:
        """The kind that strikes at this visit, if any. `trait`: what is started, a `build`, a `job` or a `gang`."""
        if self.asleep or not self._chance.happens(self._rates[site]):
            return None
        fitting = self._fitting.get((site, method, trait))
        if fitting is None:
            found = [kind for kind in self._kinds[site] if kind.fits(method, trait)]
            fitting = self._fitting[site, method, trait] = [(kind, kind.weight) for kind in found]
        return self._chance.weighted(fitting) if fitting else None

    def strike(self, kind: Kind, moment: Moment) -> Any:
        """Let it happen; counted when it took effect, also when it ends the work under way."""
        with self.calm():
            try:
                return kind.strike(moment)
            finally:
                if moment.struck:
                    self.counts[kind.name] += 1
                    moment.world.note(
                        moment.server.name, f"fault {kind.name} {moment.method} {moment.key}".rstrip()
                    )
