"""Energy on an invoice, as data: what was used, when, and what somebody who knows the site's facts made of it.

This room knows when resources were held, not what that drew; `energy.invoices` hands `EnergyOf` in. Energy is shown, not charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, from_json
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.months import month_named
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.tables import charges, spans, streams
from pearlstreet.store.core import Tx


@dataclass(frozen=True, slots=True)
class Stretch:
    """Accelerators, or the cores of work without any, that one attempt held and was billed for in one month."""

    tx_seq: int | None
    """The transaction that billed it, where that was asked for."""
    attempt_id: str
    resource: str
    unit: Unit
    amount: int
    start_us: int
    end_us: int
    is_refund: bool


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """What the use on an invoice (or a line of a statement) came to. None: not known; `notes` say why."""

    it_kwh: float | None
    """Energy of the machines, the middle of its range."""
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None
    cost: Money | None
    """What the site paid for the energy; part of the prices, no charge of its own."""
    facts: tuple[int, ...] = ()
    """Versions of the site's facts."""
    notes: tuple[Text, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A form that survives JSON; `from_json` reads it back."""
        names = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
        return {
            **{name: getattr(self, name) for name in names},
            "cost": None if self.cost is None else self.cost.micro,
            "facts": list(self.facts),
            "notes": [note.to_json() for note in self.notes],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnergyUse:
        """What `to_json` wrote."""
        plain = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
        return EnergyUse(
            **{name: value[name] for name in plain},
            cost=None if value["cost"] is None else Money(value["cost"]),
            facts=tuple(value["facts"]),
            notes=tuple(from_json(note) for note in value["notes"]),
        )


EnergyOf = Callable[[Tx, Sequence[Stretch]], EnergyUse]
"""Reckons the energy of use; the energy room has one."""


def stretches(tx: Tx, billed: sa.ColumnElement[bool], *, by_transaction: bool = False) -> Sequence[Stretch]:
    """What the charges that meet a condition bill, cut at the months they bill it in. Of work with accelerators these
    alone: the rest of the node goes with them."""
    key = charges.c.tx_seq if by_transaction else sa.null().label("tx_seq")
    is_refund = charges.c.refunds_id.is_not(None)
    # One stretch for all charges of a stream and month: rules can alternate, time must count once.
    keys = (charges.c.stream_id, charges.c.month, *([charges.c.tx_seq] if by_transaction else []))
    ranges = (
        sa.select(
            charges.c.stream_id,
            charges.c.month,
            key,
            is_refund.label("is_refund"),
            sa.func.min(charges.c.first_sequence).label("first"),
            sa.func.max(charges.c.last_sequence).label("last"),
        )
        .where(billed)
        .group_by(*keys, is_refund)
        .subquery()
    )
    cards = streams.alias("cards")
    with_cards = sa.exists().where(
        cards.c.external_id == streams.c.external_id,
        cards.c.source == streams.c.source,
        cards.c.unit == Unit.CARD_BP.value,
    )
    wanted = (streams.c.unit == Unit.CARD_BP.value) | ((streams.c.unit == Unit.CPU_MILLI.value) & ~with_cards)
    columns = (ranges.c.tx_seq, ranges.c.month, ranges.c.is_refund, spans.c.amount)
    of_stream = (streams.c.external_id, streams.c.resource, streams.c.unit, streams.c.price_version_id)
    query = (
        sa.select(
            *columns,
            *of_stream,
            sa.func.min(spans.c.start_us).label("start_us"),
            sa.func.max(spans.c.end_us).label("end_us"),
        )
        .join_from(ranges, streams, streams.c.id == ranges.c.stream_id)
        .join(
            spans,
            (spans.c.stream_id == ranges.c.stream_id)
            & (spans.c.sequence >= ranges.c.first)
            & (spans.c.sequence <= ranges.c.last),
        )
        .where(wanted)
        .group_by(ranges.c.stream_id, *columns, *of_stream)
        .order_by(ranges.c.stream_id, ranges.c.month, sa.literal_column("start_us"))
    )
    return [found for row in tx.rows(query) if (found := _stretch(tx, row)).end_us > found.start_us]


def _stretch(tx: Tx, row: Mapping[Any, Any]) -> Stretch:
    month = month_named(row["month"], prices(tx, row["price_version_id"]).zone)
    return Stretch(
        tx_seq=row["tx_seq"],
        attempt_id=row["external_id"],
        resource=row["resource"],
        unit=Unit(row["unit"]),
        amount=row["amount"],
        start_us=max(row["start_us"], month.start_us),
        end_us=min(row["end_us"], month.end_us),
        is_refund=bool(row["is_refund"]),
    )
