"""However use is cut into spans and batches, it costs the same."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.money import Money
from pearlstreet.ledger.book import funds_entries
from pearlstreet.ledger.invoices.build import Charged, build, tax_within
from pearlstreet.ledger.invoices.model import FEN
from pearlstreet.ledger.model import Party, Site, Span, Unit
from pearlstreet.ledger.months import cut, month_at, month_named
from pearlstreet.ledger.pricing import NOTHING, PriceRule, PriceVersion, charge, exact_charge

KINDS = {
    "card_hour": Unit.CARD_BP,
    "pflops_hour": Unit.CARD_BP,
    "core_hour": Unit.CPU_MILLI,
    "gib_hour": Unit.MEMORY_MIB,
    "gib_month": Unit.STORAGE_BYTES,
}
ZONES = st.sampled_from(["Asia/Shanghai", "UTC", "Europe/Berlin", "America/St_Johns"])
MOMENTS = st.integers(1_700_000_000_000_000, 1_800_000_000_000_000)
PRICES = st.builds(
    lambda kind, micro, per, zone: PriceVersion("p", 1, 0, zone, "", (PriceRule("thing", kind, micro, per),)),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 10**12),
    st.integers(1, 10**6),
    ZONES,
)


def span(prices: PriceVersion, start_us: int, end_us: int, amount: int, pflops: float) -> Span:
    unit = KINDS[prices.rules[0].kind]
    return Span("x", "a", "thing", 0, "o", "p", "j", start_us, end_us, unit, amount, "p", pflops)


@given(
    PRICES,
    st.lists(MOMENTS, min_size=2, max_size=12, unique=True).map(sorted),
    st.integers(0, 10**9),
    st.floats(0.001, 10, allow_nan=False),
)
def test_splitting_use_anywhere_changes_no_micro_yuan(
    prices: PriceVersion, moments: list[int], amount: int, pflops: float
) -> None:
    whole, _ = charge(prices, span(prices, moments[0], moments[-1], amount, pflops), NOTHING)
    total, carry = 0, NOTHING
    for start_us, end_us in pairwise(moments):
        part, carry = charge(prices, span(prices, start_us, end_us, amount, pflops), carry)
        assert part.micro >= 0
        total += part.micro
    assert total == whole.micro
    assert carry == exact_charge(prices, span(prices, moments[0], moments[-1], amount, pflops))
    assert abs(carry - total) <= Fraction(1, 2)


@given(MOMENTS, MOMENTS, ZONES)
def test_months_cut_a_stretch_without_gap_or_overlap(one: int, other: int, zone: str) -> None:
    start_us, end_us = sorted((one, other))
    at = start_us
    for month, from_us, to_us in cut(start_us, end_us, zone):
        assert from_us == at
        assert month.start_us <= from_us <= to_us <= month.end_us
        assert month == month_named(month.name, zone) == month_at(from_us, zone)
        at = to_us
    assert at == end_us


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_a_change_of_funds_falls_on_wallet_and_receivable_exactly(before: int, change: int) -> None:
    held = {"wallet/o": -max(before, 0), "receivable/o": max(-before, 0)}
    for entry in funds_entries("o", before, change):
        held[entry.account] += entry.amount.micro
    after = before + change
    assert held == {"wallet/o": -max(after, 0), "receivable/o": max(-after, 0)}


@given(st.lists(st.integers(-(10**13), 10**13), max_size=8), st.integers(0, FEN - 1), st.integers(0, 5000))
def test_an_invoice_loses_nothing(amounts: list[int], carried: int, rate_bp: int) -> None:
    rule = PriceRule("cpu", "core_hour", 120_000)
    charged = [Charged("cpu", rule, Fraction(amount), Money(amount), amount < 0) for amount in amounts]
    month = month_named("2026-11", "UTC")
    made = build("o", month, Site(tax_rate_bp=rate_bp), Party(), charged, Money(carried))
    assert made.used.micro == sum(amounts)
    assert made.used + made.carried_in == made.total + made.carried_out
    assert made.net + made.tax == made.total
    assert made.total.micro % FEN == made.tax.micro % FEN == 0
    assert 0 <= made.carried_out.micro < FEN
    exact = Fraction(made.total.micro * rate_bp, 10_000 + rate_bp)
    assert abs(made.tax.micro - exact) <= Fraction(FEN, 2)
    assert tax_within(-made.total.micro, rate_bp) == -made.tax.micro
