"""PURE: what a price list changes against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.ledger.pricing import PriceRule


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price before and after; None: there is none. Equal ones are no change."""

    resource: str
    kind: str
    before: PriceRule | None
    after: PriceRule | None

    @property
    def ratio(self) -> float | None:
        """After over before; None where that says nothing."""
        if self.before is None or self.after is None or not self.before.micro:
            return None
        return (self.after.micro * self.before.per) / (self.before.micro * self.after.per)


def price_changes(before: Sequence[PriceRule], after: Sequence[PriceRule]) -> Sequence[PriceChange]:
    """What differs, in the order of the new list, then what it leaves out."""
    old = {(rule.resource, rule.kind): rule for rule in before}
    new = {(rule.resource, rule.kind): rule for rule in after}
    found = []
    for resource, kind in (*new, *(key for key in old if key not in new)):
        was, will = old.get((resource, kind)), new.get((resource, kind))
        same = was is not None and will is not None and was.micro * will.per == will.micro * was.per
        if not same:
            found.append(PriceChange(resource, kind, was, will))
    return found
