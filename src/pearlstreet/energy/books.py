"""Energy of what the books bill: of an invoice as a whole, and of each line of a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_figure
from pearlstreet.energy.rules import Footprint, Meter
from pearlstreet.energy.service import read_facts
from pearlstreet.energy.tables import energy_measured
from pearlstreet.energy.use import Basis, Watts, watts
from pearlstreet.ledger.book import chunks
from pearlstreet.ledger.invoices.energy import EnergyUse, Stretch, stretches
from pearlstreet.ledger.model import Unit, model_of
from pearlstreet.ledger.statement import Line
from pearlstreet.ledger.tables import charges
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

DIGITS = 6
"""A document keeps milliwatt hours and milligrams."""


def energy_of(tx: Tx, billed: Sequence[Stretch]) -> EnergyUse:
    """Return energy and carbon of the use on an invoice, less refunded use; a `ledger.invoices.energy.EnergyOf`."""
    total = Total()
    for stretch, drawn, seen in reckoned(tx, billed):
        total.add(stretch, drawn, seen)
    return total.result()


def statement_energy(
    store: Store, actor: Actor, org_id: str, lines: Sequence[Line]
) -> Mapping[int, EnergyUse]:
    """Return the energy behind lines of an organisation's statement, by their number; lines of other use have none."""
    actor.require("credit:read", org_id)
    numbers = [line.seq for line in lines if line.detail is not None]

    def query(tx: Tx) -> Mapping[int, EnergyUse]:
        totals: dict[int, Total] = {}
        for part in chunks(numbers):
            mine = charges.c.tx_seq.in_(part) & (charges.c.org_id == org_id)
            for stretch, drawn, seen in reckoned(tx, stretches(tx, mine, by_transaction=True)):
                totals.setdefault(stretch.tx_seq or 0, Total()).add(stretch, drawn, seen)
        return {number: total.result() for number, total in totals.items()}

    return store.read(query)


def short(used: EnergyUse | None) -> str:
    """Return one line with the energy of the facility (of the machines, where no more is known) and the carbon."""
    if used is None or used.it_kwh is None:
        return ""
    kwh = used.it_kwh if used.facility_kwh is None else used.facility_kwh
    carbon = "" if used.carbon_kg is None else f" · {format_figure(used.carbon_kg)} kg CO2e"
    return f"{format_figure(kwh)} kWh{carbon}"


def reckoned(tx: Tx, billed: Sequence[Stretch]) -> Sequence[tuple[Stretch, Watts | None, Footprint]]:
    """Return each stretch with its power and footprint; the footprint is empty where the power is not known."""
    if not billed:
        return ()
    start_us, end_us = min(one.start_us for one in billed), max(one.end_us for one in billed)
    facts = read_facts(tx, start_us, end_us)
    meter = Meter(facts, start_us, end_us)
    measured = measured_w(tx, sorted({one.attempt_id for one in billed}))
    found = []
    for one in billed:
        held = facts.at(one.start_us)
        core_mw = held.core.milliwatts if held is not None and held.core is not None else None
        is_card = one.unit is Unit.CARD_BP
        drawn = watts(
            model_of(one.resource),
            one.amount if is_card else 0,
            0 if is_card else one.amount,
            device_w=measured.get(one.attempt_id),
            core_mw=core_mw,
        )
        kwh = 0.0 if drawn is None else drawn.kwh(one.end_us - one.start_us)[1]
        found.append((one, drawn, meter.of(kwh, one.start_us, one.end_us)))
    return found


def measured_w(tx: Tx, attempt_ids: Sequence[str]) -> Mapping[str, float]:
    """Return mean power of the accelerators of attempts that were measured."""
    found: dict[str, float] = {}
    for part in chunks(attempt_ids):
        query = sa.select(energy_measured).where(energy_measured.c.attempt_id.in_(part))
        for row in tx.rows(query):
            found[row["attempt_id"]] = row["device_j"] / ((row["end_us"] - row["start_us"]) / 1e6)
    return found


@dataclass(slots=True)
class Total:
    """Sums of stretches; a figure unknown for one stretch is unknown for the sum."""

    kwh: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    facility: float | None = 0.0
    carbon: float | None = 0.0
    cost: int | None = 0
    versions: set[int] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    bases: set[Basis] = field(default_factory=set)
    unrated: set[str] = field(default_factory=set)
    cores: bool = False
    """Work without accelerators was left out."""

    def add(self, stretch: Stretch, drawn: Watts | None, seen: Footprint) -> None:
        """Count a stretch in."""
        self.versions |= set(seen.versions)
        self.missing |= set(seen.missing)
        if drawn is None:
            if stretch.unit is Unit.CARD_BP:
                self.unrated.add(model_of(stretch.resource))
            else:
                self.cores = True
            return
        sign = -1 if stretch.is_refund else 1
        for index, kwh in enumerate(drawn.kwh(stretch.end_us - stretch.start_us)):
            self.kwh[index] += sign * kwh
        self.add_footprint(seen, drawn.basis, sign)

    def add_footprint(self, seen: Footprint, basis: Basis, sign: int = 1) -> None:
        """Add a footprint at the site."""
        if self.facility is not None:
            self.facility = None if seen.facility_kwh is None else self.facility + sign * seen.facility_kwh
        if self.carbon is not None:
            self.carbon = None if seen.carbon_kg is None else self.carbon + sign * seen.carbon_kg
        if self.cost is not None:
            micro = seen.energy_cost_micro
            self.cost = None if micro is None else self.cost + sign * micro
        self.bases.add(basis)

    def result(self) -> EnergyUse:
        """Return the sums, with what must be known to read them."""
        left_out = self.cores or bool(self.unrated)
        if left_out and not self.bases:
            notes = (*self._missing(), *self._left_out())
            return EnergyUse(None, None, None, None, None, None, (), notes)
        low, middle, high = (round(value, DIGITS) for value in self.kwh)
        return EnergyUse(
            it_kwh=middle,
            it_kwh_low=low,
            it_kwh_high=high,
            facility_kwh=None if self.facility is None else round(self.facility, DIGITS),
            carbon_kg=None if self.carbon is None else round(self.carbon, DIGITS),
            cost=None if self.cost is None else Money(self.cost),
            facts=tuple(sorted(self.versions)),
            notes=(*self._basis(), *self._missing(), *self._left_out()),
        )

    def _basis(self) -> Sequence[Text]:
        notes = []
        if Basis.MEASURED in self.bases:
            notes.append(
                text(
                    "Measured: accelerators as their power was sampled, the rest of the nodes at rated power"
                )
            )
        if Basis.RATED in self.bases:
            notes.append(
                text("Rated: power of the accelerators by their makers, times what whole nodes draw")
            )
        if Basis.CORES in self.bases:
            notes.append(text("Work without accelerators: the power of a CPU core that the site has stated"))
        if self.carbon is not None and self.versions:
            notes.append(
                text("Carbon is location-based: electricity of the machines and, by the PUE, of the facility")
            )
        return notes

    def _missing(self) -> Sequence[Text]:
        if "pue" in self.missing:
            if not self.versions:
                return [text("The center has not stated PUE, tariff and carbon factor of its site")]
            return [text("For part of the time the center has no energy facts of its site")]
        return [
            note
            for name, note in (
                ("tariff", text("The center has not stated what energy costs it at all these hours")),
                ("carbon", text("The center has not stated a carbon factor for all these hours")),
            )
            if name in self.missing
        ]

    def _left_out(self) -> Sequence[Text]:
        notes = []
        if self.unrated:
            names = ", ".join(sorted(self.unrated))[:200]
            notes.append(text("Not counted: the rated power of {models} is not known", models=names))
        if self.cores:
            notes.append(text("Not counted: work without accelerators; the power of a core is not stated"))
        return notes
