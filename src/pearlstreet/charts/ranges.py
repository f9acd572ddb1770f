"""Ranges: a bar from P10 to P90 with its median, many on one scale, and what really came of it as a mark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 150, 14
"""Of a bar in a cell of a table."""
WIDE, ROW, TOP, BOTTOM = 460, 34, 4, 20
"""Of a figure with many of them: its width, what each takes of its height, and the margins."""
EDGE = 6
APART = 20.0
"""From this ratio of the largest to the smallest a scale is logarithmic, so that the smallest is still seen."""
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class Range:
    """One estimate, with what it came to where that is known. `said`: the same in words."""

    name: str
    low: float
    middle: float
    high: float
    said: str
    actual: float | None = None

    @property
    def is_inside(self) -> bool:
        """Whether it came to lie in the range."""
        return self.actual is not None and self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True)
class Scale:
    """Values → places from 0 to 1."""

    low: float
    high: float
    is_log: bool

    def place(self, value: float) -> float:
        """Where a value lies; what lies beyond is at the edge."""
        kept = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(kept / self.low) / math.log(self.high / self.low)
        return (kept - self.low) / (self.high - self.low)


def scale_of(ranges: Iterable[Range]) -> Scale:
    """One scale for all of them: from nothing on, or logarithmic where the smallest would vanish."""
    values = [value for one in ranges for value in (one.low, one.high, one.actual) if value is not None]
    highest = max(values, default=1.0) or 1.0
    lowest = min((value for value in values if value > 0), default=highest)
    if highest / lowest > APART:
        return Scale(lowest / 1.5, highest, True)
    return Scale(0.0, highest, False)


def bar(one: Range, scale: Scale) -> Markup:
    """A bar for a cell, to be read beside others on the same scale."""
    return Markup(
        '<svg class="range" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(WIDTH, HEIGHT, one.said, one.said, _drawn(one, scale, WIDTH, HEIGHT / 2))


def ratios(title: str, ranges: Sequence[Range], *, empty: str, note: str) -> Markup:
    """A figure of ranges as shares of what was thought likely, on a logarithmic scale; `note` says how to read it."""
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
                f"{one.name}: {one.said}",
                EDGE,
                top + 12,
                one.name,
                WIDE - EDGE,
                top + 12,
                one.said,
                _drawn(one, scale, WIDE, top + 23),
            )
        )
    words = "; ".join(f"{one.name}: {one.said}" for one in ranges)
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
