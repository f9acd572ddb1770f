"""Prices: which rule applies, what an hour costs, how price lists are read."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import resources

import pytest

from pearlstreet.base.errors import BugError, InvalidInput
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.ledger.model import Demand, Span, Unit
from pearlstreet.ledger.prices import parse_prices, write_prices
from pearlstreet.ledger.pricing import NOTHING, PriceRule, PriceVersion, bill, charge, hourly_rate
from pearlstreet.ledger.rules import KINDS, Slice

DEFAULT = parse_prices(
    (resources.files("pearlstreet.ledger") / "default_prices.toml").read_text(encoding="utf-8")
)
PRICES = PriceVersion("price_1", 1, 0, "Asia/Shanghai", "", DEFAULT)
HOUR_US = 3_600_000_000


def with_rule(*rules: PriceRule) -> PriceVersion:
    return replace(PRICES, rules=(*DEFAULT, *rules))


def span(resource: str, unit: Unit, amount: int, hours: int = 1, pflops: float | None = None) -> Span:
    return Span(
        "compute",
        "att",
        resource,
        0,
        "org",
        "prj",
        "job",
        0,
        hours * HOUR_US,
        unit,
        amount,
        "price_1",
        pflops,
    )


def test_the_example_list_prices_an_hour_of_a_job() -> None:
    demands = [
        Demand("accelerator/h100-sxm-80g", Unit.CARD_BP, 20_000, 0.5934),
        Demand("cpu", Unit.CPU_MILLI, 16_000),
        Demand("memory", Unit.MEMORY_MIB, 128 * 1024),
    ]
    # 2 x 0.5934 PFLOPS x 25 + 16 x 0.12 + 128 x 0.02
    assert hourly_rate(PRICES, demands) == parse_yuan("34.15")
    assert hourly_rate(PRICES, []) == Money(0)


@pytest.mark.parametrize(
    ("pflops", "kind"), [(0.5934, "pflops_hour"), (None, "card_hour"), (0.0, "card_hour")]
)
def test_cards_count_as_compute_where_it_is_known(pflops: float | None, kind: str) -> None:
    assert PRICES.rule_for("accelerator/t4", Unit.CARD_BP, pflops).kind == kind


def test_a_models_own_price_goes_before_the_general_one() -> None:
    own = PriceRule("accelerator/t4", "card_hour", 4_000_000)
    prices = with_rule(own)
    assert prices.rule_for("accelerator/t4", Unit.CARD_BP, 0.039) == own
    assert prices.rule_for("accelerator/a100-sxm-80g", Unit.CARD_BP, 0.18).kind == "pflops_hour"


def test_a_fraction_of_a_card_costs_its_share() -> None:
    whole = hourly_rate(PRICES, [Demand("accelerator/t4", Unit.CARD_BP, 10_000)])
    quarter = hourly_rate(PRICES, [Demand("accelerator/t4", Unit.CARD_BP, 2_500)])
    assert (whole, quarter) == (parse_yuan("5"), parse_yuan("1.25"))


def test_nothing_is_free_for_want_of_a_price() -> None:
    with pytest.raises(InvalidInput, match="no price for water"):
        hourly_rate(PRICES, [Demand("water", Unit.CPU_MILLI, 1)])
    with pytest.raises(InvalidInput, match="no price for cpu"):
        hourly_rate(PRICES, [Demand("cpu", Unit.MEMORY_MIB, 1)])


def test_counted_things_are_priced_per_million() -> None:
    prices = with_rule(PriceRule("tokens/*", "count", 2_000_000, 1_000_000))
    amount, _ = charge(prices, span("tokens/m", Unit.TOKENS, 1_500_000), NOTHING)
    assert amount == parse_yuan("3")


def test_use_that_is_not_billable_costs_nothing() -> None:
    free = replace(span("cpu", Unit.CPU_MILLI, 1000), billable=False)
    assert charge(PRICES, free, Fraction(1, 3)) == (Money(0), Fraction(1, 3))


def test_what_rounding_leaves_is_carried() -> None:
    carry, billed = NOTHING, []
    for _ in range(6):
        amount, carry = bill(Fraction(1, 3), carry)
        billed.append(amount.micro)
    assert (sum(billed), carry) == (2, 2)
    with pytest.raises(BugError):
        bill(Fraction(-1), NOTHING)


@pytest.mark.parametrize("name", KINDS)
def test_every_rule_kind_is_linear_and_says_what_it_counts(name: str) -> None:
    kind = KINDS[name]
    month_us = 30 * 24 * HOUR_US

    def quantity(of: int) -> Fraction:
        return kind.quantity(Slice(kind.unit, of, 0.7, month_us))

    assert kind.name == name
    assert str(kind.label)
    assert quantity(0) == 0
    assert quantity(10**15) > 0
    assert quantity(12_345) + quantity(678) == quantity(13_023)


def test_a_list_reads_back_as_it_was_written() -> None:
    prices = with_rule(PriceRule("tokens/*", "count", 123_456, 1_000_000))
    assert parse_prices(write_prices(prices)) == prices.rules


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("price = 3", None),
        ("[[price]", None),
        ('[[price]]\nkind = "core_hour"\nyuan = "1"', "price[0]"),
        ('[[price]]\nresource = "cpu"\nkind = "core_hour"\nyuan = "1.2345678"', "price[0]"),
        ('[[price]]\nresource = "cpu"\nkind = "core_hour"\nyuan = "1"\nprice = 2', "price[0]"),
        ('[[price]]\nresource = "cpu"\nkind = "core_day"\nyuan = "1"', "price[0].kind"),
        ('[[price]]\nresource = "cpu"\nkind = "core_hour"\nyuan = "-1"', "price[0].yuan"),
        ('[[price]]\nresource = "cpu"\nkind = "core_hour"\nyuan = "1"\nper = 0', "price[0].yuan"),
        ('[[price]]\nresource = ""\nkind = "core_hour"\nyuan = "1"', "price[0].resource"),
        ('[[price]]\nresource = "cpu"\nkind = "core_hour"\nyuan = "1"', "price"),
    ],
)
def test_a_list_that_cannot_be_used_says_where(written: str, field: str | None) -> None:
    with pytest.raises(InvalidInput) as wrong:
        parse_prices(written)
    if field is not None:
        assert field in {problem.field for problem in wrong.value.problems}


def test_two_prices_for_one_thing_are_refused() -> None:
    with pytest.raises(InvalidInput) as wrong:
        parse_prices(write_prices(with_rule(PriceRule("cpu", "core_hour", 1))))
    assert "two prices of this kind" in str(wrong.value.problems[0].message)
