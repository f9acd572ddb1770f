"""Kinds of price rules, one file each; a kind turns use into the quantity to which a price applies."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.base.plugins import Parts
from pearlstreet.ledger.rules.card_hour import CardHour
from pearlstreet.ledger.rules.core_hour import CoreHour
from pearlstreet.ledger.rules.count import Count
from pearlstreet.ledger.rules.gib_hour import GibHour
from pearlstreet.ledger.rules.gib_month import GibMonth
from pearlstreet.ledger.rules.pflops_hour import PflopsHour
from pearlstreet.ledger.rules.protocol import RuleKind, Slice

_OURS: tuple[RuleKind, ...] = (CardHour(), PflopsHour(), CoreHour(), GibHour(), GibMonth(), Count())
KINDS: Mapping[str, RuleKind] = Parts("pearlstreet.price_rules", {kind.name: kind for kind in _OURS})
"""Kinds of price rules by name; the conformance tests check each of them."""

__all__ = ["KINDS", "RuleKind", "Slice"]
