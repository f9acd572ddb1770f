"""Line charts over time: a colour for each series, a legend, and the values of every point as a tooltip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from pearlstreet.charts.scale import ticks, time_ticks

WIDTH, HEIGHT = 460, 180
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
SERIES_MAX = 8
POINTS_MAX = 400
"""Largest number of points drawn of a series; more would not be visible on a screen."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a chart over time: points (µs since 1970 UTC, value), ascending by time."""

    name: str
    points: Sequence[tuple[int, float]]


def lines(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    top: float | None = None,
    empty: str = "",
    filled: bool = False,
) -> Markup:
    """Return a chart of at most SERIES_MAX series.

    `top` fixes the end of the value axis (such as 100 for percent); `empty` is shown instead of a chart without points;
    `filled` colours the area below each line.
    """
    shown = [Series(one.name, thin(one.points)) for one in series[:SERIES_MAX] if one.points]
    if not shown:
        return Markup(
            '<figure class="chart"><figcaption>{}</figcaption><p class="quiet">{}</p></figure>'
        ).format(title, empty)
    since = min(one.points[0][0] for one in shown) / 1e6
    until = max(max(one.points[-1][0] for one in shown) / 1e6, since + 1)
    highest = max(value for one in shown for _, value in one.points)
    values = ticks(top if top is not None else highest)
    ceiling = values[-1] or 1.0

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at_s - since) / (until - since)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value, 0.0), ceiling) / ceiling)

    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick end" x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 3.5, short(v))
        for v in values
    ]
    parts += [
        Markup('<text class="tick mid" x="{:.1f}" y="{}" data-at="{:.0f}">{}</text>').format(
            x(at), HEIGHT - 6, at, clock(at, until - since)
        )
        for at in time_ticks(since, until)
    ]
    for index, one in enumerate(shown):
        path = " ".join(
            f"{'L' if i else 'M'}{x(at / 1e6):.1f} {y(value):.1f}" for i, (at, value) in enumerate(one.points)
        )
        if filled:
            floor = y(0.0)
            area = f"{path} L{x(one.points[-1][0] / 1e6):.1f} {floor:.1f} L{x(one.points[0][0] / 1e6):.1f} {floor:.1f} Z"
            parts.append(Markup('<path class="area s{}" d="{}"/>').format(index, area))
        parts.append(Markup('<path class="line s{}" d="{}"/>').format(index, path))
        if len(one.points) == 1:
            parts.append(
                Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
                    index, x(one.points[0][0] / 1e6), y(one.points[0][1])
                )
            )
    hover_width = (WIDTH - LEFT - RIGHT) / max(len(shown[0].points), 1)
    for i, (at, _) in enumerate(shown[0].points):
        values_text = ", ".join(
            f"{one.name} {short(one.points[i][1])}{unit}" for one in shown if i < len(one.points)
        )
        parts.append(
            Markup(
                '<rect class="hover" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}: {}</title></rect>'
            ).format(
                x(at / 1e6) - hover_width / 2,
                TOP,
                hover_width,
                HEIGHT - TOP - BOTTOM,
                clock(at / 1e6, 0),
                values_text,
            )
        )
    newest = ", ".join(f"{one.name} {short(one.points[-1][1])}{unit}" for one in shown)
    drawing = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>').format(
        WIDTH, HEIGHT, title, newest, Markup("").join(parts)
    )
    keys = Markup("").join(
        Markup('<li class="s{}">{}</li>').format(i, one.name) for i, one in enumerate(shown)
    )
    legend = Markup('<ul class="legend">{}</ul>').format(keys) if len(shown) > 1 else Markup("")
    return Markup('<figure class="chart"><figcaption>{}{}</figcaption>{}{}</figure>').format(
        title, f" ({unit.strip()})" if unit.strip() else "", drawing, legend
    )


def thin(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most POINTS_MAX points: each is the mean of a group of neighbours, at the time of the group's last."""
    if len(points) <= POINTS_MAX:
        return list(points)
    size = -(-len(points) // POINTS_MAX)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def short(value: float) -> str:
    """Return a number with three significant digits and a suffix k, M, G or T: `1.2k`, `3.4M`, `0.05`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def clock(at_s: float, span_s: float) -> str:
    """Return a time in UTC (`at_s`: seconds since 1970) as precisely as an axis of `span_s` seconds needs.

    With `span_s` 0 it has date and time to the second.
    """
    at = datetime.fromtimestamp(at_s, UTC)
    if span_s == 0:
        return at.strftime("%m-%d %H:%M:%S")
    if span_s < 600:
        return at.strftime("%H:%M:%S")
    return at.strftime("%H:%M") if span_s < 2 * 86_400 else at.strftime("%m-%d")
