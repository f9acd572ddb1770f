"""A quantity with the range that four of five outcomes lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

Z80 = 1.2816
"""Standard deviations between the median and the 90th percentile of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Band:
    """10th percentile, median and 90th percentile of an estimated quantity."""

    p10: float
    median: float
    p90: float

    @classmethod
    def around(cls, median: float, deviation: float) -> Band:
        """Return the band of a log-normal quantity whose logarithm has this standard deviation."""
        wide = math.exp(Z80 * deviation)
        return cls(median / wide, median, median * wide)

    @classmethod
    def exactly(cls, value: float) -> Band:
        """Return the band of a quantity that is known."""
        return cls(value, value, value)

    @property
    def values(self) -> tuple[float, float, float]:
        """The three figures, from the 10th percentile to the 90th."""
        return self.p10, self.median, self.p90

    def times(self, factor: float) -> Band:
        """Return all three figures multiplied by `factor`."""
        return Band(self.p10 * factor, self.median * factor, self.p90 * factor)

    def plus(self, other: Band) -> Band:
        """Band of the sum of two independent quantities: medians add, distances from the median add by squares."""
        median = self.median + other.median
        below = math.hypot(self.median - self.p10, other.median - other.p10)
        above = math.hypot(self.p90 - self.median, other.p90 - other.median)
        return Band(median - below, median, median + above)

    def quantile(self, share: float) -> float:
        """Value that this share of outcomes lies below, log-normal on either side of the median."""
        deviations = NormalDist().inv_cdf(min(max(share, 0.001), 0.999)) / Z80
        side = self.p90 / self.median if deviations > 0 else self.median / self.p10
        return self.median * float(side**deviations)
