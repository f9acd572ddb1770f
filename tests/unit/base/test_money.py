"""Money: what people write is read exactly or refused, and nothing is lost in rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.money import (
    LIMIT_MICRO,
    Money,
    format_yuan,
    parse_yuan,
    round_half_even,
    with_yuan_sign,
)


@pytest.mark.parametrize(
    ("written", "micro"),
    [
        ("1", 1_000_000),
        ("12.50", 12_500_000),
        ("¥1,000", 1_000_000_000),
        ("-0.000001", -1),
        (" 3 ", 3_000_000),
    ],
)
def test_amounts_are_read_as_written(written: str, micro: int) -> None:
    assert parse_yuan(written) == Money(micro)


@pytest.mark.parametrize(
    "written", ["", "1.0000001", "1e3", "NaN", "inf", "1.2.3", "12 50", "0x10", "9999999999999", "¥", "１２"]
)
def test_what_is_no_amount_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"yuan|books"):
        parse_yuan(written)


@given(st.integers(-LIMIT_MICRO, LIMIT_MICRO))
def test_an_amount_written_out_reads_back_the_same(micro: int) -> None:
    assert parse_yuan(format_yuan(micro)) == Money(micro)


@given(st.fractions())
def test_rounding_keeps_the_remainder(amount: Fraction) -> None:
    whole, rest = round_half_even(amount)
    assert whole + rest == amount
    assert abs(rest) <= Fraction(1, 2)
    if abs(rest) == Fraction(1, 2):
        assert whole % 2 == 0


def test_money_does_not_mix_with_numbers() -> None:
    with pytest.raises((TypeError, AttributeError)):
        Money(1) + 1  # type: ignore[operator]
    assert Money(3) - Money(5) == -Money(2)
    assert not Money(0)
    assert str(Money(1_234_567_890_000)) == "1,234,567.89"


def test_the_minus_stands_before_the_sign_of_the_yuan() -> None:
    assert [with_yuan_sign(str(Money(micro))) for micro in (-3_000_000, 0, 12_500_000)] == [
        "-¥3.00",
        "¥0.00",
        "¥12.50",
    ]
    assert parse_yuan("-¥3.00") == Money(-3_000_000)
