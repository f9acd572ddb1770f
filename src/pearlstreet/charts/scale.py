"""PURE: chooses round values for the ticks of chart axes."""

from __future__ import annotations

import math

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS_S = (
    1,
    5,
    10,
    30,
    60,
    300,
    600,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
)


def nice_step(span: float, count: int) -> float:
    """Return the smallest of 1, 2, 2.5, 5 × 10ⁿ that divides `span` into at most `count` steps."""
    if span <= 0:
        return 1.0
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9))


def ticks(top: float, count: int = 4) -> list[float]:
    """Return evenly spaced round values from 0 to at least `top`, with at most `count` steps."""
    step = nice_step(top, count)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)] if top > 0 else [0.0, 1.0]


def time_ticks(since_s: float, until_s: float, count: int = 5) -> list[float]:
    """Return at most about `count` round times between two times; all in seconds since 1970 UTC."""
    span = max(until_s - since_s, 1)
    step = next((s for s in _TIME_STEPS_S if span / s <= count), 604_800 * math.ceil(span / 604_800 / count))
    first = math.ceil(since_s / step) * step
    return [float(at) for at in range(first, int(until_s) + 1, step)]
