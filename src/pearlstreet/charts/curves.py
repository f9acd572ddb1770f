"""Line charts over any quantity, such as elapsed time or, on a logarithmic axis, waiting times. A colour for each series."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pearlstreet.base.durations import rough_duration
from pearlstreet.charts.lines import POINTS_MAX, short
from pearlstreet.charts.scale import nice_step, ticks

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 24
SERIES_MAX = 8
_SPANS_S = (1, 60, 3600, 86_400, 604_800, 2_592_000, 31_536_000)
"""Tick marks of a logarithmic time axis in seconds: from a second to a year."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of a line chart: points (x, y), ascending by x."""

    name: str
    points: Sequence[tuple[float, float]]


def curves(
    title: str,
    series: Sequence[Curve],
    *,
    unit: str = "",
    top: float | None = None,
    log: bool = False,
    empty: str = "",
    name_x: Callable[[float], str] | None = None,
) -> Markup:
    """Return a chart of at most SERIES_MAX series; x is in seconds, on a logarithmic axis with `log`.

    `top` fixes the end of the value axis; `empty` is shown instead of a chart without points; `name_x` formats x.
    """
    shown = [Curve(one.name, one.points) for one in series[:SERIES_MAX] if one.points]
    if not shown:
        return Markup(
            '<figure class="chart"><figcaption>{}</figcaption><p class="quiet">{}</p></figure>'
        ).format(title, empty)
    format_x = name_x or (lambda seconds: str(rough_duration(seconds)))
    low = min(one.points[0][0] for one in shown)
    high = max(one.points[-1][0] for one in shown)
    place = _axis(max(low, 1.0), high, log=True) if log else _axis(low, high, log=False)
    values = ticks(top if top is not None else max(y for one in shown for _, y in one.points))
    ceiling = values[-1] or 1.0

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value, 0.0), ceiling) / ceiling)

    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick end" x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 3.5, short(v))
        for v in values
    ]
    parts += [
        Markup('<text class="tick mid" x="{:.1f}" y="{}">{}</text>').format(
            place(at), HEIGHT - 6, format_x(at)
        )
        for at in _marks(max(low, 1.0) if log else low, high, log)
    ]
    for index, one in enumerate(shown):
        points = _thin(one.points)
        path = " ".join(
            f"{'L' if i else 'M'}{place(x):.1f} {y(value):.1f}" for i, (x, value) in enumerate(points)
        )
        parts.append(
            Markup('<path class="line s{}" d="{}"><title>{}</title></path>').format(index, path, one.name)
        )
    first = _thin(shown[0].points)
    for i in range(len(first)):
        at = first[i][0]
        before = place(first[i - 1][0]) if i else place(at)
        values_text = ", ".join(f"{one.name} {short(_at(one.points, at))}{unit}" for one in shown)
        parts.append(
            Markup(
                '<rect class="hover" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}: {}</title></rect>'
            ).format(
                before, TOP, max(place(at) - before, 1.0), HEIGHT - TOP - BOTTOM, format_x(at), values_text
            )
        )
    means = ", ".join(
        f"{one.name} {short(sum(v for _, v in one.points) / len(one.points))}{unit}" for one in shown
    )
    drawing = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>').format(
        WIDTH, HEIGHT, title, means, Markup("").join(parts)
    )
    keys = Markup("").join(
        Markup('<li class="s{}">{}</li>').format(i, one.name) for i, one in enumerate(shown)
    )
    legend = (
        Markup('<ul class="legend" translate="no">{}</ul>').format(keys) if len(shown) > 1 else Markup("")
    )
    return Markup('<figure class="chart"><figcaption>{}{}</figcaption>{}{}</figure>').format(
        title, f" ({unit.strip()})" if unit.strip() else "", drawing, legend
    )


def _axis(low: float, high: float, *, log: bool) -> Callable[[float], float]:
    a, b = (math.log(low), math.log(max(high, low * 1.001))) if log else (low, max(high, low + 1e-9))

    def place(x: float) -> float:
        value = math.log(max(x, low)) if log else x
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - a) / (b - a)

    return place


def _marks(low: float, high: float, log: bool) -> list[float]:
    if log:
        return [float(mark) for mark in _SPANS_S if low <= mark <= high] or [low, high]
    size = next((size for size in (86_400, 3600, 60) if high - low >= 2 * size), 1)
    step = nice_step((high - low) / size, 6) * size
    first = math.ceil(low / step) * step
    return [first + step * i for i in range(int((high - first) / step) + 1)]


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    every = -(-len(points) // POINTS_MAX)
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _at(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value of the last point at or before x, or of the first point if there is none."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        if points[middle][0] <= x:
            low = middle + 1
        else:
            high = middle
    return points[max(low - 1, 0)][1]
