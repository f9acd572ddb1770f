"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.units import (
    format_bytes,
    format_figure,
    format_price,
    format_range,
    parse_duration_s,
    parse_size_bytes,
    parse_size_gib,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), ("90", 90), ("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400), ("500ms", 0.5),
     ("3 min", 180), ("1W", 604_800)],
)  # fmt: skip
def test_durations_are_read(written: str | float, seconds: float) -> None:
    assert parse_duration_s(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["", "h", "1x", "1h30", "-1h", "1:30", True, "1h,30m", "１h　"])
def test_what_is_no_duration_is_refused(written: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(written)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (1024, 1024),
        ("512MiB", 512 << 20),
        ("2GB", 2 * 10**9),
        ("2GiB", 2 << 30),
        ("1k", 1000),
        ("7", 7),
        ("1.5Ki", 1536),
    ],
)
def test_sizes_are_read(written: str | float, count: int) -> None:
    assert parse_size_bytes(written) == count


@pytest.mark.parametrize("written", ["", "GB", "1XB", "-1GB", True, "1 2 GB"])
def test_what_is_no_size_is_refused(written: str | float) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size_bytes(written)


def test_a_bare_number_of_gib_is_gib() -> None:
    assert parse_size_gib(16) == parse_size_gib("16") == parse_size_gib("16GiB") == 16.0


@given(st.floats(0, 1e18))
def test_sizes_are_always_shown_with_a_unit(count: float) -> None:
    assert format_bytes(count).split()[1] in ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.000"),
        (0.000146, "0.00015"),
        (0.0000004, "0.000000"),
        (0.0042, "0.0042"),
        (0.042, "0.042"),
        (12.34, "12.3"),
        (4711.4, "4,711"),
    ],
)
def test_small_figures_are_not_shown_as_none(value: float, shown: str) -> None:
    assert format_figure(value) == shown


@pytest.mark.parametrize(
    ("numbers", "unit", "shown"),
    [
        ((2.9 * 3600, 3.7 * 3600, 4.7 * 3600), "s", "3.7 h (2.9–4.7)"),
        ((0.0, 0.0, 55.7), "s", "0 s (0–55.7)"),
        ((5.0, 5.0, 5.0), "kWh", "5 kWh"),
        ((0.0452, 0.0725, 0.12), "¥", "¥0.0725 (0.0452–0.12)"),
        ((381.7, 1492.25, 2635.0), "¥", "¥1,492.25 (381.70–2,635.00)"),
        ((0.0, 0.0, 0.0), "", "0"),
    ],
)
def test_ranges_are_told_in_the_unit_of_their_middle(
    numbers: tuple[float, float, float], unit: str, shown: str
) -> None:
    assert format_range(*numbers, unit) == shown


def test_ranges_of_time_are_written_in_the_readers_language() -> None:
    assert format_range(2.9 * 3600, 3.7 * 3600, 4.7 * 3600, "s", "zh-CN") == "3.7 小时 (2.9–4.7)"
    assert format_range(5.0, 5.0, 5.0, "d", "zh-CN") == "5 天"
    assert format_range(5.0, 5.0, 5.0, "kWh", "zh-CN") == "5 kWh"


def test_prices_below_ten_cents_keep_digits_that_count() -> None:
    assert [format_price(yuan) for yuan in (1234.5, 0.1, 0.00123, 0)] == [
        "1,234.50",
        "0.10",
        "0.00123",
        "0.00",
    ]
