"""PURE: Comparison of two price lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.ledger.pricing import PriceRule


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that differs between two lists; `before` or `after` is None if the list has no such price."""

    resource: str
    kind: str
    before: PriceRule | None
    after: PriceRule | None

    @property
    def ratio(self) -> float | None:
        """New price divided by the old one; None if either is missing or the old price is 0."""
        if self.before is None or self.after is None or not self.before.micro:
            return None
        return (self.after.micro * self.before.per) / (self.before.micro * self.after.per)


def price_changes(before: Sequence[PriceRule], after: Sequence[PriceRule]) -> Sequence[PriceChange]:
    """Return the changed prices in the order of the new list, then the removed ones."""
    old = {(rule.resource, rule.kind): rule for rule in before}
    new = {(rule.resource, rule.kind): rule for rule in after}
    changes = []
    for resource, kind in (*new, *(key for key in old if key not in new)):
        was, will = old.get((resource, kind)), new.get((resource, kind))
        same = was is not None and will is not None and was.micro * will.per == will.micro * was.per
        if not same:
            changes.append(PriceChange(resource, kind, was, will))
    return changes
