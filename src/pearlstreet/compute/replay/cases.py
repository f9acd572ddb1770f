"""Cases of a what-if: a cluster, a configuration, and how virtual clusters share it; replayed in parts whose results are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.replay.clusters import POOL, Cluster
from pearlstreet.compute.replay.constraints import NO_TERMS, Terms
from pearlstreet.compute.replay.engine import Replay
from pearlstreet.compute.replay.outcome import Outcome
from pearlstreet.compute.replay.rates import rates_of
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import NodeRow, Quota

ISOLATED, ONE_POOL, GUARANTEED = "isolated", "pool", "guaranteed"
SHARING = (ISOLATED, ONE_POOL, GUARANTEED)
"""How virtual clusters share: each only its own cards; all cards for all; all cards, with each cluster's own guaranteed."""


@dataclass(frozen=True, slots=True)
class Case:
    """Input of one replay."""

    name: str
    cluster: Cluster
    config: PlannerConfig = field(default_factory=PlannerConfig)
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    sharing: str = ONE_POOL
    terms: Terms = NO_TERMS
    """Limits (beside those that `guaranteed` makes), weights, and reservations."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A case and what became of it: one outcome a virtual cluster, or one."""

    case: Case
    outcomes: tuple[Outcome, ...]


Progress = Callable[[str, int, int], None]
"""Name of the case, jobs that ended, all jobs."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The part of a case that one engine replays: all of it, or one virtual cluster. Parts are independent."""

    trace: Trace
    nodes: tuple[NodeRow, ...]
    config: PlannerConfig
    settings: ReplaySettings
    terms: Terms
    rates: Mapping[str, float]
    """Normalised PFLOPS of a card of each model."""


PartProgress = Callable[[int, int], None]
"""Number of the part, its jobs that are over."""
PlayParts = Callable[[Sequence[Part], PartProgress], Sequence[Outcome]]
"""Replays parts, one after another or in parallel; returns the outcomes in the same order."""


def play_part(part: Part, progress: Callable[[int], None] | None = None) -> Outcome:
    """Replay one part."""
    replay = Replay(part.trace, part.nodes, part.config, part.settings, part.rates.__getitem__, part.terms)
    return replay.run(None if progress is None else lambda over, _, __: progress(over))


def one_by_one(parts: Sequence[Part], progress: PartProgress) -> Sequence[Outcome]:
    """Plays parts in this process."""
    return [play_part(part, partial(progress, number)) for number, part in enumerate(parts)]


def play(
    trace: Trace, case: Case, progress: Progress | None = None, play_parts: PlayParts = one_by_one
) -> Played:
    """Replay one case. Raises InvalidInput when trace and cluster do not go together."""
    return play_all(trace, [case], progress, play_parts)[0]


def play_all(
    trace: Trace, cases: Sequence[Case], progress: Progress | None = None, play_parts: PlayParts = one_by_one
) -> tuple[Played, ...]:
    """Replay every case. Raises InvalidInput before anything is played."""
    for case in cases:
        check_case(trace, case)
    parts = [(case, part) for case in cases for part in parts_of(trace, case)]
    over = [0] * len(parts)

    def tell(number: int, count: int) -> None:
        over[number] = count
        if progress is not None:
            case = parts[number][0]
            mine = sum(done for done, (other, _) in zip(over, parts, strict=True) if other is case)
            progress(case.name, mine, trace.count)

    outcomes = play_parts([part for _, part in parts], tell)
    return tuple(
        Played(
            case,
            tuple(outcome for outcome, (other, _) in zip(outcomes, parts, strict=True) if other is case),
        )
        for case in cases
    )


def parts_of(trace: Trace, case: Case) -> list[Part]:
    """Return the parts of a case."""
    cluster = case.cluster
    rates = rates_of(cluster.nodes)

    def part(jobs: Trace, nodes: Sequence[NodeRow], terms: Terms = case.terms) -> Part:
        return Part(jobs, tuple(nodes), case.config, case.settings, terms, rates)

    if case.sharing == ISOLATED:
        numbers: Mapping[str, int] = {name: number for number, name in enumerate(trace.orgs)}
        rows = {name: np.flatnonzero(trace.org == numbers[name]) for name in cluster.parts if name in numbers}
        return [part(trace.only(mine), cluster.parts[name]) for name, mine in rows.items() if len(mine)]
    if set(cluster.parts) == {POOL}:
        return [part(trace, cluster.nodes)]
    guaranteed = [
        Quota(org=name, resource="cards", guaranteed=float(cluster.cards_of(name)))
        for name in cluster.parts
        if case.sharing == GUARANTEED
    ]
    merged = cluster.merged().nodes
    names = {before.name: after.name for before, after in zip(cluster.nodes, merged, strict=True)}
    return [part(trace, merged, case.terms.renamed(names).beside(guaranteed))]
