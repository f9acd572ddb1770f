"""Stacked bar charts: a bar for each month or other name, a colour for each series, amounts as tooltips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pearlstreet.charts.lines import short
from pearlstreet.charts.scale import ticks

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 18, 24
SERIES_MAX = 8
BAR_WIDTH_MAX = 64.0
"""Largest width of a bar in SVG units."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One series of a bar chart: a value for each name on the axis."""

    name: str
    values: Sequence[float]


def bars(title: str, names: Sequence[str], series: Sequence[Bars], *, rest: str, empty: str) -> Markup:
    """Return a chart of stacked series. If there are more than SERIES_MAX, the smallest become one named `rest`.

    `empty` is shown instead of a chart if no value is positive.
    """
    shown = _largest([one for one in series if any(value > 0 for value in one.values)], rest)
    if not shown:
        return Markup(
            '<figure class="chart"><figcaption>{}</figcaption><p class="quiet">{}</p></figure>'
        ).format(title, empty)
    totals = [sum(max(one.values[i], 0.0) for one in shown) for i in range(len(names))]
    values = ticks(max(totals))
    ceiling = values[-1]
    step = (WIDTH - LEFT - RIGHT) / len(names)
    width = min(BAR_WIDTH_MAX, step * 0.6)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / ceiling)

    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick end" x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 3.5, short(v))
        for v in values
    ]
    for i, name in enumerate(names):
        middle, below = LEFT + step * (i + 0.5), 0.0
        for index, one in enumerate(shown):
            value = max(one.values[i], 0.0)
            if value:
                parts.append(
                    Markup(
                        '<rect class="dot s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.2f}"><title>{} · {}: {:,.2f}</title></rect>'
                    ).format(
                        index, middle - width / 2, y(below + value), width, y(below) - y(below + value),
                        name, one.name, value,
                    )
                )  # fmt: skip
                below += value
        parts.append(
            Markup('<text class="tick mid" x="{:.1f}" y="{}">{}</text>').format(middle, HEIGHT - 6, name)
        )
        if below:
            parts.append(
                Markup('<text class="tick mid" x="{:.1f}" y="{:.1f}">{}</text>').format(
                    middle, y(below) - 5, short(below)
                )
            )
    totals_text = ", ".join(f"{name} {short(total)}" for name, total in zip(names, totals, strict=True))
    drawing = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>').format(
        WIDTH, HEIGHT, title, totals_text, Markup("").join(parts)
    )
    keys = Markup("").join(
        Markup('<li class="s{}">{}</li>').format(i, one.name) for i, one in enumerate(shown)
    )
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>{}<ul class="legend">{}</ul></figure>'
    ).format(title, drawing, keys)


def _largest(series: Sequence[Bars], rest: str) -> list[Bars]:
    if len(series) <= SERIES_MAX:
        return list(series)
    ordered = sorted(series, key=lambda one: -sum(one.values))
    others = ordered[SERIES_MAX - 1 :]
    sums = [sum(column) for column in zip(*(one.values for one in others), strict=True)]
    return [*ordered[: SERIES_MAX - 1], Bars(rest, sums)]
