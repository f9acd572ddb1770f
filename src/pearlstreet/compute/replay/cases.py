"""One case of a what-if: a cluster, a configuration and how its virtual clusters share it; played, and put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.replay.clusters import POOL, Cluster
from pearlstreet.compute.replay.engine import Replay
from pearlstreet.compute.replay.outcome import Outcome
from pearlstreet.compute.replay.rates import rates_of
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import Quota

ISOLATED, ONE_POOL, GUARANTEED = "isolated", "pool", "guaranteed"
SHARING = (ISOLATED, ONE_POOL, GUARANTEED)
"""Each virtual cluster for itself; all cards for everybody; all cards, but each guaranteed its own."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one replay is asked."""

    name: str
    cluster: Cluster
    config: PlannerConfig = field(default_factory=PlannerConfig)
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    sharing: str = ONE_POOL
    quotas: tuple[Quota, ...] = ()
    """Beside those that `guaranteed` makes; the center's own, say."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A case and what became of it: one outcome a virtual cluster, or one."""

    case: Case
    outcomes: tuple[Outcome, ...]


Progress = Callable[[str, int, int], None]
"""Name of the case, jobs that are over, jobs in all."""


def check_case(trace: Trace, case: Case) -> None:
    """Raises InvalidInput when the trace's virtual clusters and the cluster's do not go together."""
    if case.sharing not in SHARING:
        raise InvalidInput(
            text("There is no way to share named {name}", name=case.sharing),
            hint=text("Use one of {names}", names=", ".join(SHARING)),
        )
    if case.sharing == ONE_POOL:
        return
    missing = sorted({trace.orgs[org] for org in np.unique(trace.org)} - set(case.cluster.parts))
    if missing:
        raise InvalidInput(
            text("The cluster has no part for {names}", names=", ".join(missing[:10])),
            hint=text(
                "It has: {names}; or share it as one: --share pool", names=", ".join(case.cluster.parts)[:400]
            ),
        )


def play(trace: Trace, case: Case, progress: Progress | None = None) -> Played:
    """Replay one case. Raises InvalidInput when trace and cluster do not go together."""
    check_case(trace, case)
    told = 0

    def tell(over: int, _: int, __: int) -> None:
        if progress is not None:
            progress(case.name, told + over, trace.count)

    outcomes = []
    for part in _parts(trace, case):
        replay = Replay(
            part.trace,
            part.cluster.nodes,
            case.config,
            case.settings,
            rates_of(case.cluster.nodes),
            [*part.quotas, *case.quotas],
        )
        outcomes.append(replay.run(tell))
        told += part.trace.count
    return Played(case, tuple(outcomes))


@dataclass(frozen=True, slots=True)
class _Part:
    trace: Trace
    cluster: Cluster
    quotas: Sequence[Quota] = ()


def _parts(trace: Trace, case: Case) -> list[_Part]:
    cluster = case.cluster
    if case.sharing == ISOLATED:
        numbers: Mapping[str, int] = {name: number for number, name in enumerate(trace.orgs)}
        return [
            _Part(trace.only(np.flatnonzero(trace.org == numbers[name])), Cluster({name: nodes}))
            for name, nodes in cluster.parts.items()
            if name in numbers and bool((trace.org == numbers[name]).any())
        ]
    if set(cluster.parts) == {POOL}:
        return [_Part(trace, cluster)]
    quotas = [
        Quota(org=name, resource="cards", guaranteed=float(cluster.cards_of(name)))
        for name in cluster.parts
        if case.sharing == GUARANTEED
    ]
    return [_Part(trace, cluster.merged(), quotas)]
