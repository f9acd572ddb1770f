"""Energy: the facts of the site, hourly series, what a job used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Energy(Noun):
    """PUE, tariff and carbon factor of the site, and what work came to with them."""

    def show(self) -> results.Site:
        """Return the current facts of the site; `facts` is None while none are set."""
        found: results.Site = self._get("/energy")
        return found

    def history(self, *, limit: int = 100) -> Iterator[results.Facts]:
        """Yield all versions of the facts, newest first. `limit` is the size of a page."""
        return self._pages("/energy/facts", limit=limit)

    def set(self, facts: Mapping[str, object]) -> results.Facts:
        """Publish a new version of the facts: pue, tariff, carbon, core, valid_from, note."""
        found: results.Facts = self._send("POST", "/energy/facts", dict(facts))
        return found

    def presets(self) -> results.Presets:
        """Return published carbon factors and tariff hours to start from."""
        found: results.Presets = self._get("/energy/presets")
        return found

    def series(self) -> Rows[results.Series]:
        """Return the imported series."""
        found: Rows[results.Series] = self._get("/energy/series")["items"]
        return found

    def import_series(
        self,
        name: str,
        kind: str,
        csv: str,
        *,
        source: str | None = None,
        as_of: str | None = None,
        column: str | None = None,
        unit: str | None = None,
    ) -> results.Imported:
        """Import hourly values of `kind` carbon or price: a new series, or hours that an existing one lacks."""
        body = given(name=name, kind=kind, csv=csv, source=source, as_of=as_of, column=column, unit=unit)
        found: results.Imported = self._send("POST", "/energy/series", body)
        return found

    def hours(self, series: str, *, since: str | None = None, until: str | None = None) -> results.Hours:
        """Return the hourly values of a series between two times; by default its last two weeks."""
        found: results.Hours = self._get(
            at("energy", "series", series, "hours"), **{"from": since, "until": until}
        )
        return found

    def job(self, job: str) -> results.JobEnergy:
        """Return energy and carbon of a job so far."""
        found: results.JobEnergy = self._get(at("energy", "jobs", job))
        return found
