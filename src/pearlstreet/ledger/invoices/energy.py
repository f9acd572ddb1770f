"""Energy on invoices: the billed use by attempt and month, and the energy estimated for it.

The ledger knows only when resources were held; `energy.invoices` supplies the function `EnergyOf`, which estimates their
energy. Energy is shown on invoices, not charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, from_json
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.months import month_named
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.tables import charges, spans, streams
from pearlstreet.store.core import Tx


@dataclass(frozen=True, slots=True)
class Stretch:
    """Billed use of accelerators (or of cores, for work without accelerators) by one attempt in one month."""

    tx_seq: int | None
    """Sequence number of the billing transaction, if grouped by transaction, else None."""
    attempt_id: str
    resource: str
    unit: Unit
    amount: int
    start_us: int
    end_us: int
    is_refund: bool


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Energy of the use on an invoice or a line of a statement. Unknown figures are None; `notes` say why."""

    it_kwh: float | None
    """Energy of the machines in kWh, the middle of its range."""
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None
    cost: Money | None
    """Cost of the energy to the site; it is part of the prices and not charged separately."""
    facts: tuple[int, ...] = ()
    """Versions of the site's energy facts that were used."""
    notes: tuple[Text, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return a form for JSON, which `from_json` reads."""
        names = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
        return {
            **{name: getattr(self, name) for name in names},
            "cost": None if self.cost is None else self.cost.micro,
            "facts": list(self.facts),
            "notes": [note.to_json() for note in self.notes],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnergyUse:
        """Return the value that `to_json` wrote."""
        plain = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
        return EnergyUse(
            **{name: value[name] for name in plain},
            cost=None if value["cost"] is None else Money(value["cost"]),
            facts=tuple(value["facts"]),
            notes=tuple(from_json(note) for note in value["notes"]),
        )


EnergyOf = Callable[[Tx, Sequence[Stretch]], EnergyUse]
"""Function that estimates the energy of use; `energy.invoices` supplies it."""


def stretches(tx: Tx, billed: sa.ColumnElement[bool], *, by_transaction: bool = False) -> Sequence[Stretch]:
    """Return the use billed by the charges that meet a condition, split by billing month.

    For work with accelerators only these are returned, because their energy includes that of the rest of the node.
    """
    key = charges.c.tx_seq if by_transaction else sa.null().label("tx_seq")
    is_refund = charges.c.refunds_id.is_not(None)
    # All charges of a stream and month form one stretch: their rules can alternate, but time must count once.
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
    all_stretches = (_stretch(tx, row) for row in tx.rows(query))
    return [stretch for stretch in all_stretches if stretch.end_us > stretch.start_us]


def _stretch(tx: Tx, row: RowMapping) -> Stretch:
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
