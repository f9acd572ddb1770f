"""PURE: from a price version and use to exact amounts, rounded once per posting with the remainder carried."""

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
"""Length of a month in an estimate, where no real month is meant."""
NOTHING = Fraction(0)
"""The carry before a stream's first posting."""


@dataclass(frozen=True, slots=True)
class PriceRule:
    """`micro` yuan for each `per` units of the rule kind's quantity. `resource` may end in `/*`."""

    resource: str
    kind: str
    micro: int
    per: int = 1

    @property
    def rule_kind(self) -> RuleKind:
        """How use becomes quantity."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """A price list that never changes. Prices include tax. `zone` decides where months begin."""

    id: str
    number: int
    valid_from_us: int
    zone: str
    note: str
    rules: tuple[PriceRule, ...]

    def find(self, resource: str, unit: Unit, pflops: float | None) -> PriceRule | None:
        """The rule for a resource: its own, else its kind's `/*` per PFLOPS·h when that is known, else any `/*`."""
        fitting = [rule for rule in self.rules if rule.rule_kind.unit is unit]
        wildcard = resource.split("/", 1)[0] + "/*"
        for wanted in (resource, wildcard):
            named = [rule for rule in fitting if rule.resource == wanted]
            by_compute = [rule for rule in named if rule.kind == "pflops_hour"]
            if by_compute and pflops:
                return by_compute[0]
            others = [rule for rule in named if rule.kind != "pflops_hour"]
            if others:
                return others[0]
        return None

    def rule_for(self, resource: str, unit: Unit, pflops: float | None) -> PriceRule:
        """Like `find`; raises InvalidInput when nothing prices it."""
        found = self.find(resource, unit, pflops)
        if found is None:
            raise InvalidInput(
                text(
                    "Price list {number} has no price for {resource}", number=self.number, resource=resource
                ),
                hint=text("Add a rule for it, or for its kind, and publish the list"),
            )
        return found


def price_of(rule: PriceRule, used: Slice) -> Fraction:
    """The exact price of a slice in micro-yuan."""
    return rule.rule_kind.quantity(used) * rule.micro / rule.per


def hourly_rate(prices: PriceVersion, resources: Iterable[Demand]) -> Money:
    """What holding `resources` for an hour costs, rounded half-even once. Raises InvalidInput for an unpriced one."""
    total = Fraction(0)
    for demand in resources:
        rule = prices.rule_for(demand.resource, demand.unit, demand.pflops)
        quantity = demand.amount * US_PER_HOUR if demand.unit.is_timed else demand.amount
        total += price_of(rule, Slice(demand.unit, quantity, demand.pflops, NOMINAL_MONTH_US))
    return Money(round(total))


def exact_charge(prices: PriceVersion, span: Span) -> Fraction:
    """The exact price of a span in micro-yuan, month by month."""
    rule = prices.rule_for(span.resource, span.unit, span.pflops)
    parts = by_month(span.unit, span.amount, span.start_us, span.end_us, prices.zone)
    return sum(
        (price_of(rule, Slice(span.unit, used, span.pflops, month.length_us)) for month, used in parts),
        NOTHING,
    )


def by_month(unit: Unit, amount: int, start_us: int, end_us: int, zone: str) -> list[tuple[Month, int]]:
    """A stretch of use as quantities (`Slice.quantity`) by month. What is counted belongs to the month it ended in."""
    if not unit.is_timed:
        return [(month_at(max(start_us, end_us - 1), zone), amount)]
    return [(month, amount * (till_us - from_us)) for month, from_us, till_us in cut(start_us, end_us, zone)]


def bill(exact: Fraction, carry: Fraction) -> tuple[Money, Fraction]:
    """Round one posting: (amount, new carry).

    `carry` is all that a stream has used so far, exactly; `round(carry)` of it was billed. Rounding the running total
    (half-even) instead of each part makes the sum of any postings equal to one posting of everything.
    """
    check(carry >= 0 and exact >= 0, "use and its price are never negative")
    after = carry + exact
    return Money(round(after) - round(carry)), after


def charge(prices: PriceVersion, span: Span, carry: Fraction) -> tuple[Money, Fraction]:
    """Bill one span after those that made `carry` (NOTHING at first). A span that is not billable costs nothing."""
    return bill(exact_charge(prices, span) if span.billable else NOTHING, carry)
