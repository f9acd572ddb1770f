"""Range charts: a bar from P10 to P90 with the median, many on one scale, and the actual value as a mark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 150, 14
"""Size of a bar in a table cell, in SVG units."""
WIDE, ROW, TOP, BOTTOM = 460, 34, 4, 20
"""Layout of a figure of many ranges, in SVG units: its width, the height of a row, and the margins."""
EDGE = 6
"""Horizontal margin of a scale in SVG units."""
LOG_RATIO_MIN = 20.0
"""Ratio of the largest to the smallest value above which a scale is logarithmic, so that the smallest stays visible."""
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Grid lines of a figure of ratios, as multiples of the estimate."""


@dataclass(frozen=True, slots=True)
class Range:
    """One estimate: P10, median and P90, and the actual value if it is known."""

    name: str
    low: float
    middle: float
    high: float
    label: str
    """The estimate and the actual value in words."""
    actual: float | None = None

    @property
    def is_inside(self) -> bool:
        """Whether the actual value is known and lies in the range."""
        return self.actual is not None and self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic scale that maps values to positions from 0 to 1."""

    low: float
    high: float
    is_log: bool

    def place(self, value: float) -> float:
        """Return the position of a value, 0 to 1; values beyond the scale are at its edge."""
        kept = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(kept / self.low) / math.log(self.high / self.low)
        return (kept - self.low) / (self.high - self.low)


def scale_of(ranges: Iterable[Range]) -> Scale:
    """Return one scale for all ranges: linear from 0 on, or logarithmic above LOG_RATIO_MIN."""
    values = [value for one in ranges for value in (one.low, one.high, one.actual) if value is not None]
    highest = max(values, default=1.0) or 1.0
    lowest = min((value for value in values if value > 0), default=highest)
    if highest / lowest > LOG_RATIO_MIN:
        return Scale(lowest / 1.5, highest, True)
    return Scale(0.0, highest, False)


def bar(one: Range, scale: Scale) -> Markup:
    """Return one range as a bar for a table cell; bars of one table share a scale."""
    return Markup(
        '<svg class="range" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(WIDTH, HEIGHT, one.label, one.label, _drawn(one, scale, WIDTH, HEIGHT / 2))


def ratios(title: str, ranges: Sequence[Range], *, empty: str, note: str) -> Markup:
    """Return a figure of ranges given as ratios to the likely value (1.0), on a logarithmic scale.

    `empty` is shown instead of a figure without ranges; `note` is a caption that explains how to read it.
    """
    if not ranges:
        return Markup(
            '<figure class="chart"><figcaption>{}</figcaption><p class="quiet">{}</p></figure>'
        ).format(title, empty)
    values = [value for one in ranges for value in (one.low, one.high, one.actual or 1.0) if value > 0]
    furthest = min(max(max(values), 1 / min(values), 2.0) * 1.1, SHARES[-1])
    scale = Scale(1 / furthest, furthest, True)
    height = TOP + ROW * len(ranges) + BOTTOM
    parts = []
    for share in SHARES:
        if scale.low * 1.15 <= share <= scale.high / 1.15:
            x = _x(share, scale, WIDE)
            parts.append(
                Markup(
                    '<line class="grid{}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>'
                    '<text class="tick mid" x="{:.1f}" y="{}">{:.0f} %</text>'
                ).format(
                    " likely" if share == 1.0 else "", x, x, TOP, height - BOTTOM, x, height - 6, 100 * share
                )
            )
    for index, one in enumerate(ranges):
        top = TOP + ROW * index
        parts.append(
            Markup(
                '<g><title>{}</title><text class="tick name" x="{}" y="{}">{}</text>'
                '<text class="tick end" x="{}" y="{}">{}</text>{}</g>'
            ).format(
                f"{one.name}: {one.label}",
                EDGE,
                top + 12,
                one.name,
                WIDE - EDGE,
                top + 12,
                one.label,
                _drawn(one, scale, WIDE, top + 23),
            )
        )
    words = "; ".join(f"{one.name}: {one.label}" for one in ranges)
    drawing = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>').format(
        WIDE, height, title, words, Markup("").join(parts)
    )
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>{}<p class="quiet">{}</p></figure>'
    ).format(title, drawing, note)


def _x(value: float, scale: Scale, width: float) -> float:
    return EDGE + (width - 2 * EDGE) * scale.place(value)


def _drawn(one: Range, scale: Scale, width: float, y: float) -> Markup:
    low, middle, high = (_x(value, scale, width) for value in (one.low, one.middle, one.high))
    drawn = Markup(
        '<line class="range-line" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<rect class="range-bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="8" rx="2"/>'
        '<rect class="range-middle" x="{:.1f}" y="{:.1f}" width="2.5" height="12" rx="1"/>'
    ).format(EDGE, width - EDGE, y, y, low, y - 4, max(high - low, 1.0), middle - 1.25, y - 6)
    if one.actual is None:
        return drawn
    x = _x(one.actual, scale, width)
    if one.is_inside:
        return drawn + Markup('<circle class="range-in" cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(x, y)
    return drawn + Markup('<path class="range-out" d="M{:.1f} {:.1f}l5 5 -5 5 -5 -5z"/>').format(x, y - 5)
