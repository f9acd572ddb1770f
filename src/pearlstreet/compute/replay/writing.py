"""Writes decisions in the formats that independent checkers read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.replay.cases import Played

SCHEDULE = ("job", "start", "end", "placement")
DECISIONS = ("pod", "node", "gpus")


def schedule_rows(played: Played) -> Iterator[Sequence[str]]:
    """Yield one row for each run by its start: job, start, end, `node:cards;node:cards`, in the trace's own time."""
    rows = [
        (outcome.runs.start_us[i], outcome.runs.job[i], number, i)
        for number, outcome in enumerate(played.outcomes)
        for i in range(len(outcome.runs.job))
    ]
    for start_us, job, number, i in sorted(rows):
        outcome = played.outcomes[number]
        place = ";".join(f"{outcome.node_names[n]}:{len(devices)}" for n, devices in outcome.runs.place[i])
        origin = outcome.trace.origin_s
        begin, end = start_us / US_PER_S + origin, outcome.runs.end_us[i] / US_PER_S + origin
        yield outcome.trace.ids[job], f"{begin:.6f}", f"{end:.6f}", place


def decision_rows(played: Played) -> Iterator[Sequence[str]]:
    """Yield one row for each pod in the order of arrival: its node, or nothing."""
    for outcome in played.outcomes:
        place = {job: outcome.runs.place[i] for i, job in enumerate(outcome.runs.job)}
        for job, name in enumerate(outcome.trace.ids):
            node, devices = place[job][0] if job in place else (-1, ())
            where = outcome.node_names[node] if node >= 0 else ""
            yield name, where, "-".join(str(device) for device in devices)
