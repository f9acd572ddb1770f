"""Durations as people read them, in the reader's language."""

from __future__ import annotations

from pearlstreet.base.text import Text, text

_UNITS_S = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_ONE_UNIT = {"d": "{value} d", "h": "{value} h", "min": "{value} min", "s": "{value} s"}
_TWO_UNITS = {
    "d": "{value} d {smaller} h",
    "h": "{value} h {smaller} min",
    "min": "{value} min {smaller} s",
}


def duration(seconds: float) -> Text:
    """Return a duration in its largest unit and the next smaller one: `45 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 1:
        return in_unit(f"{seconds:.2f}", "s")
    index = next(index for index, (size, _) in enumerate(_UNITS_S) if whole >= size)
    size, unit = _UNITS_S[index]
    value, rest = divmod(whole, size)
    smaller = rest // _UNITS_S[index + 1][0] if index + 1 < len(_UNITS_S) else 0
    return text(_TWO_UNITS[unit], value=value, smaller=smaller) if smaller else in_unit(value, unit)


def rough_duration(seconds: float) -> Text:
    """Return a duration in its largest unit with three significant digits: `45 s`, `10 min`, `3.5 h`, `2 d`."""
    size, unit = unit_for(seconds)
    return in_unit(f"{seconds / size:.3g}", unit)


def unit_for(seconds: float) -> tuple[int, str]:
    """Return the largest unit that is not longer than the duration, or else seconds: its seconds and its symbol."""
    return next((item for item in _UNITS_S if seconds >= item[0]), _UNITS_S[-1])


def in_unit(value: object, unit: str) -> Text:
    """Return a value with its unit of time: `d`, `h`, `min` or `s`."""
    return text(_ONE_UNIT[unit], value=value)


def format_duration(seconds: float, language: str = "en") -> str:
    """Return `duration` in a language."""
    return duration(seconds).render(language)
