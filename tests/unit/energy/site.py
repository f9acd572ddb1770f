"""Facts for tests: a site in Shanghai, whose prices change with the hour."""

from __future__ import annotations

from pearlstreet.energy.model import (
    Carbon,
    Constant,
    CorePower,
    Days,
    Flat,
    Hourly,
    Origin,
    Period,
    Pue,
    SiteFacts,
    Tariff,
    TimeOfUse,
)

ORIGIN = Origin("contract of 2026", "2026-01-01")
NIGHT = (0, 1, 2, 3, 4, 5, 22, 23)
DAY = tuple(hour for hour in range(24) if hour not in NIGHT)
BANDS = TimeOfUse(
    "Asia/Shanghai",
    (
        Period("night", 300_000, hours=NIGHT),
        Period("day", 700_000, hours=DAY, days=Days.WORKDAYS),
        Period("weekend", 500_000, hours=DAY, days=Days.WEEKENDS),
    ),
)
GRID = Constant(500_000)


def version(
    number: int = 1,
    valid_from_us: int = 0,
    *,
    pue_bp: int = 12_500,
    tariff: Flat | TimeOfUse | Hourly | None = BANDS,
    carbon: Constant | Hourly | None = GRID,
    core_mw: int | None = None,
) -> SiteFacts:
    """A version of facts."""
    return SiteFacts(
        number,
        valid_from_us,
        Pue(pue_bp, ORIGIN),
        None if tariff is None else Tariff(tariff, ORIGIN),
        None if carbon is None else Carbon(carbon, ORIGIN),
        None if core_mw is None else CorePower(core_mw, ORIGIN),
        "",
        "clerk",
        0,
    )
