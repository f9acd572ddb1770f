"""The rows of imported series: add hours, read those of a stretch of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import text
from pearlstreet.energy.model import HOUR_US, Hours, Origin, Series, SeriesKind
from pearlstreet.energy.rules import FORECAST_DAYS
from pearlstreet.energy.series import ROWS_MOST
from pearlstreet.energy.tables import energy_days, energy_series
from pearlstreet.store.core import Row, Tx

_CHUNK = 400
_INSERT = sa.insert(energy_days)
_CHANGE = (
    sa.update(energy_days)
    .where(energy_days.c.series_id == sa.bindparam("of_series"), energy_days.c.day == sa.bindparam("of_day"))
    .values(hours=sa.bindparam("new_hours"))
)


def find_series(tx: Tx, wanted: str) -> Series:
    """Return a series by id or name. Raises NotFound."""
    either = (energy_series.c.id == wanted) | (energy_series.c.name == wanted)
    row = tx.first(sa.select(energy_series).where(either))
    if row is None:
        raise NotFound(
            text("There is no series {series}", series=wanted[:80]),
            hint=text("An operator imports one: pearl energy import FILE"),
        )
    return series_of(row)


def series_of(row: Row) -> Series:
    """Return a row as a value."""
    plain = {
        name: row[name] for name in ("id", "name", "hours", "first_us", "until_us", "made_by", "made_us")
    }
    return Series(**plain, kind=SeriesKind(row["kind"]), origin=Origin(**row["origin"]))


def add_hours(tx: Tx, series: Series, values: Mapping[int, int]) -> int:
    """Add hours that the series lacks and return their number. Raises Conflict, and writes nothing, if a known hour has another value."""
    by_day: dict[int, dict[int, int]] = {}
    for hour, value in values.items():
        by_day.setdefault(hour // 24, {})[hour % 24] = value
    kept = _days(tx, series.id, by_day)
    added: list[dict[str, object]] = []
    changed: list[dict[str, object]] = []
    count = 0
    for day, hours in sorted(by_day.items()):
        row: list[int | None] = list(kept.get(day, [None] * 24))
        before = sum(value is not None for value in row)
        for hour, value in hours.items():
            if row[hour] not in (None, value):
                raise _differs(series, day * 24 + hour)
            row[hour] = value
        new = sum(value is not None for value in row) - before
        count += new
        if day not in kept:
            added.append({"series_id": series.id, "day": day, "hours": row})
        elif new:
            changed.append({"of_series": series.id, "of_day": day, "new_hours": row})
    if series.hours + count > ROWS_MOST:
        raise Conflict(text("A series has at most {count} hours", count=ROWS_MOST))
    if added:
        tx.execute(_INSERT, added)
    if changed:
        tx.execute(_CHANGE, changed)
    return count


def _differs(series: Series, hour: int) -> Conflict:
    return Conflict(
        text(
            "The series {name} has another value for {time}",
            name=series.name,
            time=to_rfc3339(hour * HOUR_US)[:16] + "Z",
        ),
        hint=text(
            "Hours are never changed: import the corrected file under a new name, then set facts with it"
        ),
    )


def read_hours(tx: Tx, series: Series, start_us: int, end_us: int, *, tail: bool = True) -> Hours:
    """Return the hours of a period and (`tail`) the last days of the series, on which forecasts are based."""
    known_until = series.until_us // HOUR_US
    first, last = start_us // (24 * HOUR_US), (max(end_us, start_us + 1) - 1) // (24 * HOUR_US)
    mine = energy_days.c.series_id == series.id
    wanted: sa.ColumnElement[bool] = energy_days.c.day.between(first, last)
    if tail:
        newest = (known_until - 1) // 24
        wanted = wanted | energy_days.c.day.between(newest - FORECAST_DAYS, newest)
    rows = tx.rows(sa.select(energy_days.c.day, energy_days.c.hours).where(mine, wanted))
    values = {
        row["day"] * 24 + hour: value
        for row in rows
        for hour, value in enumerate(row["hours"])
        if value is not None
    }
    return Hours(values, known_until)


def _days(tx: Tx, series_id: str, days: Iterable[int]) -> dict[int, list[int | None]]:
    wanted = sorted(days)
    found: dict[int, list[int | None]] = {}
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        query = sa.select(energy_days.c.day, energy_days.c.hours).where(
            energy_days.c.series_id == series_id, energy_days.c.day.in_(part)
        )
        found |= {row["day"]: row["hours"] for row in tx.rows(query)}
    return found
