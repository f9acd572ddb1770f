"""Energy and carbon of work as the API answers them, on invoices, statements and beside a job's cost."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pearlstreet.api.models import Out, Yuan, yuan_of
from pearlstreet.ledger.invoices.energy import EnergyUse


class EnergyUseOut(Out):
    """Energy of the machines and of the facility apart, the PUE applied once; null: not known, `notes` say why."""

    it_kwh: float | None
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None = Field(description="CO2e, location-based")
    energy_cost: Yuan | None = Field(description="What the site paid for it; shown, not charged")
    facts: list[int] = Field(description="Versions of the site's facts it was reckoned with")
    notes: list[str]


def energy_out(found: EnergyUse | None, language: str) -> dict[str, Any] | None:
    """As JSON."""
    if found is None:
        return None
    names = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
    return {
        **{name: getattr(found, name) for name in names},
        "energy_cost": None if found.cost is None else yuan_of(found.cost),
        "facts": list(found.facts),
        "notes": [note.render(language) for note in found.notes],
    }
