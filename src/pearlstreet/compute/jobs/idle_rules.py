"""PURE: how long the accelerators of an attempt have been idle, from samples of their utilization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from pearlstreet.compute.engines.protocol import MetricSample

_ENDING = "_utilization_percent"


@dataclass(frozen=True, slots=True)
class Idleness:
    """What the samples of one attempt show up to now. Times are in µs since 1970."""

    seen_us: int = 0
    """Time of the last sample; 0: none yet."""
    idle_from_us: int | None = None
    """Time since which every sample is idle; None: the last one was busy, or there was none."""
    total_us: int = 0
    """Time between idle samples, over the whole attempt."""

    @property
    def idle_us(self) -> int:
        """Length of the idle time that lasts."""
        return 0 if self.idle_from_us is None else self.seen_us - self.idle_from_us


def advance(known: Idleness, samples: Iterable[MetricSample], idle_percent: float) -> Idleness:
    """Return what is known with further samples. At one time an attempt is idle if all its devices are below `idle_percent`.

    A job is busy if one device of one rank is: gangs wait for their slowest. Samples without utilization tell nothing.
    """
    told = sorted((one for one in samples if one.kind == "use" and one.at_us > known.seen_us), key=_time)
    for at_us, group in groupby(told, key=_time):
        used = [percent for one in group for percent in _percents(one.values)]
        if used:
            known = _at(known, at_us, is_idle=max(used) < idle_percent)
    return known


def _at(known: Idleness, at_us: int, *, is_idle: bool) -> Idleness:
    if not is_idle:
        return replace(known, seen_us=at_us, idle_from_us=None)
    if known.idle_from_us is None:
        return replace(known, seen_us=at_us, idle_from_us=at_us)
    return replace(known, seen_us=at_us, total_us=known.total_us + at_us - known.seen_us)


def _time(sample: MetricSample) -> int:
    return sample.at_us


def _percents(values: Mapping[str, float]) -> list[float]:
    return [value for name, value in values.items() if name.startswith("device_") and name.endswith(_ENDING)]
