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
        """Return the facts that hold now; `facts` is None where none are set."""
        found: results.Site = self._get("/energy")
        return found

    def history(self, *, limit: int = 100) -> Iterator[results.Facts]:
        """Yield every version, newest first. `limit` is a page's size."""
        return self._pages("/energy/facts", limit=limit)

    def set(self, facts: Mapping[str, object]) -> results.Facts:
        """Set a new version: pue, tariff, carbon, core, valid_from, note."""
        found: results.Facts = self._send("POST", "/energy/facts", dict(facts))
        return found

    def presets(self) -> results.Presets:
        """Published carbon factors and hours of tariffs to start from."""
        found: results.Presets = self._get("/energy/presets")
        return found

    def series(self) -> Rows[results.Series]:
        """Imported series."""
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
        """Import hours of `kind` carbon or price: a new series, or hours that an existing one has not."""
        body = given(name=name, kind=kind, csv=csv, source=source, as_of=as_of, column=column, unit=unit)
        found: results.Imported = self._send("POST", "/energy/series", body)
        return found

    def hours(self, series: str, *, since: str | None = None, until: str | None = None) -> results.Hours:
        """Return the hours of a series between two times; its last fortnight if none are named."""
        found: results.Hours = self._get(
            at("energy", "series", series, "hours"), **{"from": since, "until": until}
        )
        return found

    def job(self, job: str) -> results.JobEnergy:
        """Energy and carbon of a job so far."""
        found: results.JobEnergy = self._get(at("energy", "jobs", job))
        return found
