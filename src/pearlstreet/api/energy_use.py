"""Energy and carbon of jobs in responses: on invoices, on statements and beside a job's cost."""

from __future__ import annotations

from pydantic import Field

from pearlstreet.api.models import Out, Yuan, yuan_of
from pearlstreet.ledger.invoices.energy import EnergyUse


class EnergyUseOut(Out):
    """Energy of the machines, and of the facility after applying the PUE once; null if unknown, with the reason in `notes`."""

    it_kwh: float | None
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None = Field(description="CO2e, location-based")
    energy_cost: Yuan | None = Field(description="Electricity cost of the site; informative, not charged")
    facts: list[int] = Field(description="Versions of the site's energy facts behind the figures")
    notes: list[str]


def energy_out(found: EnergyUse | None, language: str) -> dict[str, object] | None:
    """Return energy use as an EnergyUseOut, or None."""
    if found is None:
        return None
    names = ("it_kwh", "it_kwh_low", "it_kwh_high", "facility_kwh", "carbon_kg")
    return {
        **{name: getattr(found, name) for name in names},
        "energy_cost": None if found.cost is None else yuan_of(found.cost),
        "facts": list(found.facts),
        "notes": [note.render(language) for note in found.notes],
    }
