"""Several cases on one trace, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.compute.replay.cases import Case, Played, PlayParts, Progress, one_by_one, play_all
from pearlstreet.compute.replay.measures import Curves, Measures, curves, measure
from pearlstreet.compute.replay.trace import Trace


@dataclass(frozen=True, slots=True)
class Compared:
    """One replayed case: its input, figures and curves."""

    case: Case
    measures: Measures
    curves: Curves

    def to_json(self) -> dict[str, object]:
        """Return a JSON form for files and interfaces."""
        return {
            "name": self.case.name,
            "cluster": {
                "name": self.case.cluster.name,
                "nodes": len(self.case.cluster.nodes),
                "cards": self.case.cluster.cards,
            },
            "sharing": self.case.sharing,
            "config": self.case.config.to_json(),
            "settings": self.case.settings.to_json(),
            "measures": self.measures.to_json(),
            "curves": self.curves.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All replayed cases of one what-if question."""

    trace_name: str
    jobs: int
    cases: tuple[Compared, ...]

    def to_json(self) -> dict[str, object]:
        """Return a JSON form for files and interfaces."""
        return {
            "trace": self.trace_name,
            "jobs": self.jobs,
            "cases": [case.to_json() for case in self.cases],
        }


def compare(
    trace_name: str,
    trace: Trace,
    cases: Sequence[Case],
    progress: Progress | None = None,
    play_parts: PlayParts = one_by_one,
) -> tuple[Comparison, tuple[Played, ...]]:
    """Replay every case; their curves share one axis of time. Raises InvalidInput before anything is played."""
    played = play_all(trace, cases, progress, play_parts)
    last = max(
        (int(outcome.levels.at[-1]) for one in played for outcome in one.outcomes if outcome.levels.at),
        default=1,
    )
    found = tuple(Compared(one.case, measure(one), curves(one, last)) for one in played)
    return Comparison(trace_name, trace.count, found), played
