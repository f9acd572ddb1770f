"""Figures of what was played: times, use, fairness; and the curves of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.replay.cases import Played
from pearlstreet.compute.replay.outcome import Levels, Outcome
from pearlstreet.compute.scheduling.model import F64, I64

STEPS = 400
"""Number of time steps of the curves."""
QUANTILES = 200
"""Points of the distribution of job completion times."""
_H_US = 3_600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Times:
    """Job completion time (JCT: submission to end) and waiting (JCT less run time) of a set of jobs, seconds."""

    jobs: int
    avg_jct_s: float
    p50_jct_s: float
    p99_jct_s: float
    avg_queue_s: float
    p50_queue_s: float
    p99_queue_s: float
    avg_first_wait_s: float
    """Submission to first start."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of one replayed case."""

    name: str
    times: Times
    never: int
    """Jobs that never ran to their end, by reason in `never_why`."""
    never_why: dict[str, int]
    makespan_s: float
    utilisation_cards: float
    """Useful card time over all card time until the makespan; work redone is not useful."""
    utilisation_compute: float
    """The same in normalised compute, so that a weak card counts less."""
    held_cards: float
    """Like `utilisation_cards`, including lost work."""
    preemptions: int
    resizes: int
    """Resizes of running elastic jobs; those before the start do not count."""
    lost_card_h: float
    """Redone after stops, or spent on starting anew."""
    fairness: float
    """Jain's index of run time over JCT, averaged by organisation: 1 when all are slowed alike."""
    fragmentation: float
    """Mean share of the free cards that an average task could not use."""
    by_org: dict[str, Times]
    plans: int
    skipped: int

    def to_json(self) -> dict[str, object]:
        """Return a JSON form for files and interfaces."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of one replayed case: values at the ends of equal time steps, and the distribution of JCT."""

    at_s: list[float]
    cards: list[float]
    """Share of the cards in use."""
    compute: list[float]
    waiting: list[float]
    """Jobs."""
    waiting_cards: list[float]
    fragmentation: list[float]
    jct_s: list[float]
    """Quantiles of the JCT; as many points as `jct_share`."""
    jct_share: list[float]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form for files and interfaces."""
        return asdict(self)


def times_of(jct_us: F64, run_us: F64, first_us: F64) -> Times:
    """Return waiting, run and completion times of the jobs that ended."""
    if not len(jct_us):
        return Times(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    jct, wait = jct_us / US_PER_S, (jct_us - run_us) / US_PER_S
    return Times(
        jobs=len(jct),
        avg_jct_s=_round(jct.mean()),
        p50_jct_s=_round(np.percentile(jct, 50)),
        p99_jct_s=_round(np.percentile(jct, 99)),
        avg_queue_s=_round(wait.mean()),
        p50_queue_s=_round(np.percentile(wait, 50)),
        p99_queue_s=_round(np.percentile(wait, 99)),
        avg_first_wait_s=_round((first_us / US_PER_S).mean()),
    )


def _round(value: Any) -> float:
    return round(float(value), 3)


def measure(played: Played) -> Measures:
    """Return the figures of one case."""
    outcomes = played.outcomes
    jct, run, first, org = (np.concatenate(column) for column in zip(*map(_ended, outcomes), strict=True))
    makespan = max((int(outcome.end_us.max(initial=0)) for outcome in outcomes), default=0)
    held = sum(int((outcome.cards_bp * (outcome.held_us / US_PER_S)).sum()) for outcome in outcomes)
    lost = sum(int((outcome.cards_bp * (outcome.lost_us / US_PER_S)).sum()) for outcome in outcomes)
    compute = sum(
        float((outcome.gflops * ((outcome.held_us - outcome.lost_us) / US_PER_S)).sum())
        for outcome in outcomes
    )
    span_s = max(makespan / US_PER_S, 1e-6)
    cards = max(sum(outcome.capacity_bp for outcome in outcomes), 1) * span_s
    gflops = max(sum(outcome.capacity_gflops for outcome in outcomes), 1) * span_s
    names = outcomes[0].trace.orgs if outcomes else ()
    mine = {names[o]: org == o for o in np.unique(org).tolist()}
    why: dict[str, int] = {}
    for outcome in outcomes:
        for code in outcome.never.values():
            why[code] = why.get(code, 0) + 1
    return Measures(
        name=played.case.name,
        times=times_of(jct, run, first),
        never=sum(why.values()),
        never_why=dict(sorted(why.items())),
        makespan_s=_round(makespan / US_PER_S),
        utilisation_cards=round((held - lost) / cards, 5),
        utilisation_compute=round(compute / gflops, 5),
        held_cards=round(held / cards, 5),
        preemptions=sum(int(outcome.stops.sum()) for outcome in outcomes),
        resizes=sum(int(outcome.resizes.sum()) for outcome in outcomes),
        lost_card_h=round(lost / FULL_BP / 3600, 3),
        fairness=round(_jain([float((run[m] / np.maximum(jct[m], 1)).mean()) for m in mine.values()]), 5),
        fragmentation=round(_mean_fragments(outcomes), 5),
        by_org={name: times_of(jct[m], run[m], first[m]) for name, m in sorted(mine.items())},
        plans=sum(outcome.plans for outcome in outcomes),
        skipped=sum(outcome.skipped for outcome in outcomes),
    )


def _ended(outcome: Outcome) -> tuple[F64, F64, F64, I64]:
    trace, rows = outcome.trace, outcome.ended
    submit = trace.submit_us[rows]
    jct = (outcome.end_us[rows] - submit).astype(np.float64)
    first = (outcome.first_us[rows] - submit).astype(np.float64)
    return jct, trace.duration_us[rows].astype(np.float64), first, trace.org[rows].astype(np.int64)


def _jain(values: Sequence[float]) -> float:
    """Return Jain's index (R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness", DEC TR-301, 1984)."""
    total, squares = sum(values), sum(value * value for value in values)
    return total * total / (len(values) * squares) if squares else 1.0


def _mean_fragments(outcomes: Sequence[Outcome]) -> float:
    values = [value for outcome in outcomes for value in outcome.levels.fragments]
    return float(np.mean(values)) if values else 0.0


def curves(played: Played, until_us: int | None = None) -> Curves:
    """Return the curves of one case, up to `until_us` (default: its makespan)."""
    outcomes = played.outcomes
    end = until_us or max((int(o.levels.at[-1]) for o in outcomes if o.levels.at), default=1)
    edges = np.linspace(0, max(end, STEPS), STEPS + 1)
    sums = np.zeros((4, STEPS))
    for outcome in outcomes:
        sums += _means(outcome.levels, edges)
    capacity = max(sum(outcome.capacity_bp for outcome in outcomes), 1)
    gflops = max(sum(outcome.capacity_gflops for outcome in outcomes), 1)
    jct = np.concatenate([_ended(outcome)[0] for outcome in outcomes]) / US_PER_S
    share = np.linspace(0, 1, QUANTILES + 1)
    return Curves(
        at_s=[round(at / US_PER_S, 1) for at in edges[1:]],
        cards=_rounded(sums[0] / capacity),
        compute=_rounded(sums[1] / gflops),
        waiting=_rounded(sums[2]),
        waiting_cards=_rounded(sums[3] / FULL_BP),
        fragmentation=_rounded(_fragments(outcomes, edges)),
        jct_s=_rounded(np.quantile(jct, share)) if len(jct) else [],
        jct_share=_rounded(share) if len(jct) else [],
    )


def _rounded(values: F64) -> list[float]:
    return [round(float(value), 4) for value in values]


def _means(levels: Levels, edges: F64) -> F64:
    """Return mean of every level within every step."""
    if not levels.at:
        return np.zeros((4, len(edges) - 1))
    at = np.array(levels.at, dtype=np.float64)
    result = np.zeros((4, len(edges) - 1))
    for i, column in enumerate(levels.values):
        value = np.array(column, dtype=np.float64)
        area = np.concatenate([[0.0], np.cumsum(value[:-1] * np.diff(at))])
        k = np.searchsorted(at, edges, side="right") - 1
        reached = np.where(k >= 0, area[k] + value[k] * (edges - at[k]), 0.0)
        result[i] = np.diff(reached) / np.diff(edges)
    return result


def _fragments(outcomes: Sequence[Outcome], edges: F64) -> F64:
    """Return the newest sample before the end of every step, averaged over parts by their cards."""
    total, weight = np.zeros(len(edges) - 1), 0.0
    for outcome in outcomes:
        levels = outcome.levels
        if not levels.fragments_at:
            continue
        k = np.searchsorted(np.array(levels.fragments_at), edges[1:], side="right") - 1
        total += np.where(k >= 0, np.array(levels.fragments)[k], 0.0) * outcome.capacity_bp
        weight += outcome.capacity_bp
    return total / max(weight, 1.0)
