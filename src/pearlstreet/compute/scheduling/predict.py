"""Predicts a job's run time from earlier jobs of its tenant: median, and the band from the 10th to the 90th percentile.

The closest history that has enough of it is asked: same user, name and request; then user and request; then request; then
the whole organisation. In the traces of several clusters most jobs resemble a recent one of the same user (E. Hu et al.,
"Characterization and prediction of deep learning workloads in large-scale GPU datacenters", SC 2021). A tenant's history is
its own: nothing is learnt across organisations. A prediction is a guess: it orders jobs and fills estimates, and never
stands for a limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pearlstreet.compute.scheduling.rows import Request

_KEPT = 64
"""Latest run times kept for one history."""
_ENOUGH = (2, 3, 3, 5)
"""Run times that each history needs before it is asked, the closest first."""

History = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """A job that ended by itself. One that was stopped says only that it would have run longer."""

    org: str
    user: str
    name: str
    """Name of the job without a number at its end: `train-17` and `train-18` are runs of one thing."""
    request: Request
    tasks: int
    run_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Run time in seconds: the median, one in ten is shorter than `low_s`, one in ten longer than `high_s`."""

    likely_s: float
    low_s: float
    high_s: float
    rests_on: int
    """Run times it was taken from."""


def stem(name: str) -> str:
    """Return the name without digits and separators at its end."""
    return name.rstrip("0123456789").rstrip("-_. ") or name


def _histories(org: str, user: str, name: str, request: Request, tasks: int) -> tuple[History, ...]:
    shape = (request, tasks)
    return (
        (org, "user name request", user, stem(name), shape),
        (org, "user request", user, shape),
        (org, "request", shape),
        (org, "all"),
    )


@dataclass(slots=True)
class Predictor:
    """Mutable and pure: the same rows in the same order give the same predictions."""

    _runs: dict[History, deque[float]] = field(default_factory=dict)

    def learn(self, rows: Iterable[Past]) -> None:
        """Take in jobs in the order in which they ended."""
        for row in rows:
            for history in _histories(row.org, row.user, row.name, row.request, row.tasks):
                self._runs.setdefault(history, deque(maxlen=_KEPT)).append(max(row.run_s, 0.0))

    def predict(self, org: str, user: str, name: str, request: Request, tasks: int = 1) -> Prediction | None:
        """Return the prediction for a job; None while its tenant has too little history."""
        for history, enough in zip(_histories(org, user, name, request, tasks), _ENOUGH, strict=True):
            runs = self._runs.get(history)
            if runs is not None and len(runs) >= enough:
                return _band(sorted(runs))
        return None


def _band(runs: list[float]) -> Prediction:
    return Prediction(_quantile(runs, 0.5), _quantile(runs, 0.1), _quantile(runs, 0.9), len(runs))


def _quantile(rising: list[float], share: float) -> float:
    at = share * (len(rising) - 1)
    below = int(at)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (rising[above] - rising[below]) * (at - below)
