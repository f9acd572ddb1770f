"""From the energy of the machines to that of the facility and carbon, by the site's facts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.asking import Band
from pearlstreet.compute.jobs.tables import attempts
from pearlstreet.energy.jobs import energy_of_attempts
from pearlstreet.energy.rules import Footprint as Reckoned
from pearlstreet.energy.rules import Meter
from pearlstreet.energy.service import read_facts
from pearlstreet.quotes.model import Energy
from pearlstreet.quotes.offers import Footprint
from pearlstreet.store.core import Tx

HORIZON_US = 60 * 86_400 * US_PER_S
"""Hours to come are foretold so far; what lasts longer is taken to go on alike."""
LEAST_US = 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Taken:
    """What a job really drew. None: not known."""

    it_kwh: float | None
    facility_kwh: float | None
    carbon_kg: float | None


def footprints(tx: Tx) -> Footprint:
    """What the site makes of some energy, by its facts as of now. Where it has none: nothing but the energy itself."""
    now_us = tx.now_us
    until_us = now_us + HORIZON_US
    facts = read_facts(tx, now_us, until_us)

    @cache
    def meter() -> Meter:
        return Meter(facts, now_us, until_us, forecast=True)

    def of(it_kwh: Band, start_us: int, elapsed_s: Band) -> Energy:
        if not facts.versions:
            return Energy(it_kwh, None, None, None, None)
        begin_us = max(now_us, min(start_us, until_us - LEAST_US))
        end_us = min(begin_us + max(round(elapsed_s.median * US_PER_S), 1), until_us)
        return _energy(it_kwh, meter().of(it_kwh.median, begin_us, end_us))

    return of


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
    """What a job has drawn so far, in all its attempts; None before it ran, or where nobody knows."""
    used = energy_of_attempts(tx, job_id, attempts.c.job_id == job_id).used
    if used.it_kwh is None:
        return None
    return Taken(used.it_kwh, used.facility_kwh, used.carbon_kg)
