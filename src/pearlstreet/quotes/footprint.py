"""Energy of the facility and carbon of a run, computed from IT energy and the site's facts."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.energy.jobs import energy_of_attempts
from pearlstreet.energy.model import HOUR_US, Facts
from pearlstreet.energy.rules import Footprint as Reckoned
from pearlstreet.energy.rules import Meter, starts_by_carbon
from pearlstreet.energy.service import read_facts
from pearlstreet.quotes.model import Energy, GreenStart
from pearlstreet.store.core import Tx

HORIZON_US = 60 * 86_400 * US_PER_S
"""Length of the hourly forecast in µs; longer runs continue at its last day's values."""
LEAST_US = 3600 * US_PER_S
WITHIN_US = 48 * HOUR_US
"""Greener starts are searched within this time (µs): forecast hours repeat after a day, and few users wait longer."""
CLEARLY = 0.05
"""Smallest share of carbon saved for which a later start is proposed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Actual energy and carbon of a job. None: not known."""

    it_kwh: float | None
    facility_kwh: float | None
    carbon_kg: float | None


@dataclass(slots=True)
class Site:
    """The site's facts as of now. Without facts only the IT energy itself is known."""

    facts: Facts
    now_us: int
    _meter: Meter | None = None

    @classmethod
    def read(cls, tx: Tx) -> Site:
        """Read the facts that are set."""
        return cls(read_facts(tx, tx.now_us, tx.now_us + HORIZON_US), tx.now_us)

    def footprint(self, it_kwh: Band, start_us: int, elapsed_s: Band) -> Energy:
        """Return facility energy, carbon and cost of a run that begins at `start_us`."""
        if not self.facts.versions:
            return Energy(it_kwh, None, None, None, None)
        until_us = self.now_us + HORIZON_US
        if self._meter is None:
            self._meter = Meter(self.facts, self.now_us, until_us, forecast=True)
        begin_us = max(self.now_us, min(start_us, until_us - LEAST_US))
        end_us = min(begin_us + max(round(elapsed_s.median * US_PER_S), 1), until_us)
        return _energy(it_kwh, self._meter.of(it_kwh.median, begin_us, end_us))

    def greenest(
        self, energy: Energy, start_us: int, elapsed_s: Band, deadline_us: int | None = None
    ) -> GreenStart | None:
        """Return the full hour of the next two days with the least emissions, if these are clearly lower."""
        if energy.carbon_kg is None:
            return None
        begin_us = max(self.now_us, start_us)
        hours = range(begin_us // HOUR_US + 1, (begin_us + WITHIN_US) // HOUR_US + 1)
        latest_us = None if deadline_us is None else deadline_us - round(elapsed_s.p90 * US_PER_S)
        later = [hour * HOUR_US for hour in hours if latest_us is None or hour * HOUR_US <= latest_us]
        lasts_us = min(max(round(elapsed_s.median * US_PER_S), 1), HORIZON_US // 2)
        found = starts_by_carbon(self.facts, lasts_us, [begin_us, *later])
        expected = next((one for one in found if one.start_us == begin_us), None)
        if expected is None or found[0].g_per_it_kwh > (1 - CLEARLY) * expected.g_per_it_kwh:
            return None
        share = found[0].g_per_it_kwh / expected.g_per_it_kwh
        return GreenStart(found[0].start_us, energy.carbon_kg.median * share, 1 - share)


def _energy(it_kwh: Band, found: Reckoned) -> Energy:
    def scaled(value: float | None) -> Band | None:
        if value is None or it_kwh.median <= 0:
            return None
        return it_kwh.times(value / it_kwh.median)

    cost = found.energy_cost_micro
    return Energy(
        it_kwh,
        scaled(found.facility_kwh),
        scaled(found.carbon_kg),
        None if cost is None else Money(cost),
        _basis(found),
    )


def _basis(found: Reckoned) -> Text | None:
    if not found.versions:
        return None
    versions = ", ".join(str(number) for number in found.versions)
    if found.forecast:
        return text(
            "Site facts {versions}; hours to come are taken as on the last known days", versions=versions
        )
    return text("Site facts {versions}", versions=versions)


def taken_energy(tx: Tx, job_id: str) -> Taken | None:
    """Return the energy of all attempts of a job so far; None before it ran, or if not known."""
    used = energy_of_attempts(tx, job_id, attempts.c.owner_id == job_id).used
    if used.it_kwh is None:
        return None
    return Taken(used.it_kwh, used.facility_kwh, used.carbon_kg)
