"""Months are the site's: as long as they are there, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.ledger.months import cut, month_at, month_named

DAY_US = 86_400_000_000


def us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2026-12", 31)]
)
def test_months_have_their_own_length(month: str, days: int) -> None:
    assert month_named(month, "Asia/Shanghai").length_us == days * DAY_US


def test_a_month_with_a_change_of_clocks_is_an_hour_shorter_or_longer() -> None:
    lengths = [month_named(month, "Europe/Berlin").length_us for month in ("2026-03", "2026-10")]
    assert lengths == [31 * DAY_US - DAY_US // 24, 31 * DAY_US + DAY_US // 24]


def test_the_zone_decides_when_a_month_begins() -> None:
    moment = us(2026, 10, 31, 16)
    assert month_at(moment, "Asia/Shanghai").name == "2026-11"
    assert month_at(moment - 1, "Asia/Shanghai").name == "2026-10"
    assert month_at(moment, "UTC").name == "2026-10"


def test_months_follow_each_other_without_a_gap() -> None:
    month = month_named("2025-12", "America/New_York")
    after = month_at(month.end_us, "America/New_York")
    assert (after.name, after.start_us) == ("2026-01", month.end_us)


def test_a_stretch_is_cut_at_month_ends() -> None:
    parts = list(cut(us(2026, 1, 15), us(2026, 4, 1), "UTC"))
    assert [(month.name, (end - start) // DAY_US) for month, start, end in parts] == [
        ("2026-01", 17),
        ("2026-02", 28),
        ("2026-03", 31),
    ]
    assert [month.name for month, _, _ in cut(us(2026, 4, 1), us(2026, 4, 1), "UTC")] == ["2026-04"]


@pytest.mark.parametrize(
    "name", ["2026-13", "2026-00", "26-01", "2026-1", "November", "", "1969-12", "9999-12"]
)
def test_what_is_not_a_month_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a month"):
        month_named(name, "UTC")


@pytest.mark.parametrize("zone", ["Asia/Atlantis", "../etc/passwd", ""])
def test_what_is_not_a_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        month_at(0, zone)
