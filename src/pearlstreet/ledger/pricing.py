"""PURE: Prices of use in exact fractions; amounts are rounded once per posting and the remainder is carried over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from pearlstreet.base.errors import InvalidInput, check
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.model import US_PER_HOUR, Demand, Span, Unit
from pearlstreet.ledger.months import Month, cut, month_at
from pearlstreet.ledger.rules import KINDS, RuleKind, Slice

NOMINAL_MONTH_US = 30 * 24 * US_PER_HOUR
"""Length of a month in µs for estimates, which are about no particular month."""
NOTHING = Fraction(0)
"""Carry of a stream before its first posting."""


@dataclass(frozen=True, slots=True)
class PriceRule:
    """A price of `micro` micro-yuan per `per` units of the rule kind's quantity. `resource` may end in `/*`."""

    resource: str
    kind: str
    micro: int
    per: int = 1

    @property
    def rule_kind(self) -> RuleKind:
        """The rule kind, which turns use into the priced quantity."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """An immutable price list. Prices include tax. `zone` is the time zone of billing months."""

    id: str
    number: int
    valid_from_us: int
    zone: str
    note: str
    rules: tuple[PriceRule, ...]

    def find(self, resource: str, unit: Unit, pflops: float | None) -> PriceRule | None:
        """Return the rule for a resource, or None: its own rule, else that of its kind (`/*`).

        A resource may say how a device is shared (`accelerator/t4/mps`); without a rule for that the device's rule holds.
        A rule per PFLOPS·h takes precedence over the other rules of the same resource if `pflops` is known.
        """
        fitting = [rule for rule in self.rules if rule.rule_kind.unit is unit]
        for wanted in _names(resource):
            named = [rule for rule in fitting if rule.resource == wanted]
            by_compute = [rule for rule in named if rule.kind == "pflops_hour"]
            if by_compute and pflops:
                return by_compute[0]
            others = [rule for rule in named if rule.kind != "pflops_hour"]
            if others:
                return others[0]
        return None

    def rule_for(self, resource: str, unit: Unit, pflops: float | None) -> PriceRule:
        """Return the rule for a resource as `find` does. Raises InvalidInput when the list has no rule for it."""
        rule = self.find(resource, unit, pflops)
        if rule is None:
            raise InvalidInput(
                text(
                    "Price list {number} has no price for {resource}", number=self.number, resource=resource
                ),
                hint=text("Add a rule for it, or for its kind, and publish the list"),
            )
        return rule


def _names(resource: str) -> tuple[str, ...]:
    """Return the names under which a rule for a resource is looked up, the most special first."""
    family, _, rest = resource.partition("/")
    model, _, sharing = rest.partition("/")
    apart = (resource, f"{family}/*/{sharing}") if sharing else ()
    return (*apart, f"{family}/{model}" if model else family, f"{family}/*")


def price_of(rule: PriceRule, used: Slice) -> Fraction:
    """Return the exact price of a slice of use in micro-yuan."""
    return rule.rule_kind.quantity(used) * rule.micro / rule.per


def hourly_rate(prices: PriceVersion, resources: Iterable[Demand]) -> Money:
    """Return the cost of holding `resources` for an hour, rounded half-even once.

    Raises InvalidInput for a resource without a price.
    """
    total = Fraction(0)
    for demand in resources:
        rule = prices.rule_for(demand.resource, demand.unit, demand.pflops)
        quantity = demand.amount * US_PER_HOUR if demand.unit.is_timed else demand.amount
        total += price_of(rule, Slice(demand.unit, quantity, demand.pflops, NOMINAL_MONTH_US))
    return Money(round(total))


def exact_charge(prices: PriceVersion, span: Span) -> Fraction:
    """Return the exact price of a span in micro-yuan, the sum over its months."""
    rule = prices.rule_for(span.resource, span.unit, span.pflops)
    parts = by_month(span.unit, span.amount, span.start_us, span.end_us, prices.zone)
    return sum(
        (price_of(rule, Slice(span.unit, used, span.pflops, month.length_us)) for month, used in parts),
        NOTHING,
    )


def by_month(unit: Unit, amount: int, start_us: int, end_us: int, zone: str) -> list[tuple[Month, int]]:
    """Return the quantities (`Slice.quantity`) of a span by month. Counted use belongs to the month in which it ended."""
    if not unit.is_timed:
        return [(month_at(max(start_us, end_us - 1), zone), amount)]
    return [(month, amount * (till_us - from_us)) for month, from_us, till_us in cut(start_us, end_us, zone)]


def bill(exact: Fraction, carry: Fraction) -> tuple[Money, Fraction]:
    """Return the rounded amount of one posting and the new carry.

    `carry` is the exact price of the stream's earlier use, of which `round(carry)` was billed. Because the running total
    is rounded (half-even), several postings always sum to the same amount as a single posting of all use.
    """
    check(carry >= 0 and exact >= 0, "use and its price are never negative")
    after = carry + exact
    return Money(round(after) - round(carry)), after


def charge(prices: PriceVersion, span: Span, carry: Fraction) -> tuple[Money, Fraction]:
    """Return the amount and new carry for one span, given the carry of its predecessors (NOTHING for the first).

    A span that is not billable costs 0.
    """
    return bill(exact_charge(prices, span) if span.billable else NOTHING, carry)
