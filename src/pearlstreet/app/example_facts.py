"""Example energy facts of a simulated center; their source says that they are made up."""

from __future__ import annotations

import math
from datetime import timedelta

from pearlstreet.base.clock import EPOCH, to_rfc3339
from pearlstreet.energy.model import (
    HOUR_US,
    Carbon,
    CorePower,
    FactsWish,
    Hourly,
    Origin,
    Pue,
    SeriesKind,
    Tariff,
)
from pearlstreet.energy.presets import bands_presets
from pearlstreet.energy.service import Import, current_facts, import_series, set_facts
from pearlstreet.ledger.months import zone_of
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM

BACK_DAYS, AHEAD_DAYS = 130, 60
"""Days before and after now that the example carbon series covers; the past ones cover the demo's past usage."""
PRICES = {"peak": 1_150_000, "flat": 700_000, "valley": 320_000}
SERIES = "example"
ZONE = "Asia/Shanghai"


def state_facts(store: Store) -> None:
    """Set the example energy facts if the center has none."""
    if current_facts(store, SYSTEM) is not None:
        return
    now_us = store.clock.now_us()
    example = Origin("an example, made up for the simulated center", to_rfc3339(now_us)[:10])
    first = (now_us // HOUR_US // 24 - BACK_DAYS) * 24
    hours = range(first, first + (BACK_DAYS + AHEAD_DAYS) * 24)
    rows = "\n".join(f"{to_rfc3339(hour * HOUR_US)},{_grams(hour):.1f}" for hour in hours)
    made = import_series(
        store,
        SYSTEM,
        Import(SERIES, SeriesKind.CARBON, f"time,g_per_kwh\n{rows}\n", example.source, example.as_of),
    )
    wish = FactsWish(
        pue=Pue(12_500, example),
        tariff=Tariff(bands_presets()[0].priced(PRICES), example),
        carbon=Carbon(Hourly(made.series.id), example),
        core=CorePower(8_000, example),
        valid_from_us=first * HOUR_US,
        note="example",
    )
    set_facts(store, SYSTEM, wish)


def _grams(hour: int) -> float:
    """Return a grid carbon factor in g/kWh: lower at noon (solar) and on weekends, higher in the evening."""
    local = (EPOCH + timedelta(hours=hour)).astimezone(zone_of(ZONE))
    sun = max(0.0, math.sin(math.pi * (local.hour + 0.5 - 6.0) / 12.0))
    evening = max(0.0, math.sin(math.pi * (local.hour + 0.5 - 17.0) / 6.0)) if 17 <= local.hour < 23 else 0.0
    return 560.0 - 210.0 * sun + 90.0 * evening - (40.0 if local.weekday() >= 5 else 0.0)
