"""Facts to start from, as packaged data: carbon factors of Chinese grids, hours of time-of-use tariffs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pearlstreet.energy.model import Origin, Period, TimeOfUse


@dataclass(frozen=True, slots=True)
class CarbonPreset:
    """A constant carbon factor."""

    id: str
    title: str
    title_zh: str
    mg_per_kwh: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Bands:
    """Periods of a tariff without prices, which are in the site's contract."""

    id: str
    title: str
    title_zh: str
    rule: TimeOfUse
    """Tariff rule whose prices are 0."""
    origin: Origin

    @property
    def names(self) -> Sequence[str]:
        """Names of the periods without repetition; each needs a price."""
        return list(dict.fromkeys(period.name for period in self.rule.periods))

    def priced(self, micro_per_kwh: Mapping[str, int]) -> TimeOfUse:
        """Return the tariff with a price for each name. Raises KeyError for a name without one."""
        periods = tuple(
            Period(one.name, micro_per_kwh[one.name], one.months, one.days, one.hours)
            for one in self.rule.periods
        )
        return TimeOfUse(self.rule.zone, periods)


@cache
def carbon_presets() -> tuple[CarbonPreset, ...]:
    """Return the packaged carbon intensities of grids."""
    found = _document()
    origin = Origin(**found["carbon_origin"])
    return tuple(
        CarbonPreset(row["id"], row["title"], row["title_zh"], round(row["g_per_kwh"] * 1000), origin)
        for row in found["carbon"]
    )


@cache
def bands_presets() -> tuple[Bands, ...]:
    """Return the packaged times of day of tariffs."""
    return tuple(
        Bands(
            row["id"],
            row["title"],
            row["title_zh"],
            TimeOfUse(
                row["zone"],
                tuple(
                    Period(one["name"], 0, months=tuple(one["months"]), hours=tuple(one["hours"]))
                    for one in row["periods"]
                ),
            ),
            Origin(row["source"], row["as_of"]),
        )
        for row in _document()["bands"]
    )


def _document() -> dict[str, Any]:
    written = (resources.files("pearlstreet.energy") / "presets.toml").read_text(encoding="utf-8")
    return tomllib.loads(written)
