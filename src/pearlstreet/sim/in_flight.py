"""Requests and reports between servers and machines, which outlive any server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pearlstreet.base.outcome import Outcome
from pearlstreet.compute.engines.protocol import AttemptReport

REPORTS_KEPT = 4


@dataclass(slots=True)
class InFlight:
    """Requests and reports in flight between servers and machines; they outlive any server."""

    reports: dict[str, list[AttemptReport]] = field(default_factory=dict)
    """Latest reports by attempt id, consecutive ones with different states."""
    jobs: dict[str, str] = field(default_factory=dict)
    """Job id by attempt id, from the start orders."""
    misreported: set[str] = field(default_factory=set)
    """Ids of attempts about which a fault reported something untrue."""
    forgotten: set[str] = field(default_factory=set)
    """Ids of attempts that the machines no longer remember; a late start request would run them again."""
    delayed: list[tuple[float, str, str, Callable[[], Outcome[object]]]] = field(default_factory=list)
    """Delayed requests: (arrival in s, method, attempt id, call that delivers it)."""

    def delay(self, due_s: float, method: str, key: str, act: Callable[[], Outcome[object]]) -> None:
        """Deliver a request at `due_s` instead of now."""
        self.delayed.append((due_s, method, key, act))

    def arrived(self, now_s: float) -> list[tuple[str, str, Outcome[object]]]:
        """Deliver the requests that are due and return (method, attempt id, answer) of each."""
        due = sorted((item for item in self.delayed if item[0] <= now_s), key=lambda item: item[0])
        self.delayed = [item for item in self.delayed if item[0] > now_s]
        return [(method, key, act()) for _, method, key, act in due]

    def remember_report(self, report: AttemptReport) -> None:
        """Keep a report so that a fault can deliver it again."""
        reports = self.reports.setdefault(report.attempt_id, [])
        if not reports or reports[-1].state is not report.state:
            reports.append(report)
            del reports[:-REPORTS_KEPT]
