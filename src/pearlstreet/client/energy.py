"""Energy: the facts of the site, hourly series, what a job used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pearlstreet.client.noun import Answer, Answers, Noun, at, given


class Energy(Noun):
    """PUE, tariff and carbon factor of the site, and what work came to with them."""

    def show(self) -> Answer:
        """The facts that hold now; `facts` is None where none are set."""
        found: Answer = self._get("/energy")
        return found

    def history(self, *, limit: int = 100) -> Iterator[Answer]:
        """Every version, newest first. `limit` is a page's size."""
        return self._pages("/energy/facts", limit=limit)

    def set(self, facts: Mapping[str, Any]) -> Answer:
        """Set a new version: pue, tariff, carbon, core, valid_from, note."""
        found: Answer = self._send("POST", "/energy/facts", dict(facts))
        return found

    def presets(self) -> Answer:
        """Published carbon factors and hours of tariffs to start from."""
        found: Answer = self._get("/energy/presets")
        return found

    def series(self) -> Answers:
        """Imported series."""
        found: Answers = self._get("/energy/series")["items"]
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
    ) -> Answer:
        """Import hours of `kind` carbon or price: a new series, or hours that an existing one has not."""
        body = given(name=name, kind=kind, csv=csv, source=source, as_of=as_of, column=column, unit=unit)
        found: Answer = self._send("POST", "/energy/series", body)
        return found

    def hours(self, series: str, *, since: str | None = None, until: str | None = None) -> Answer:
        """The hours of a series between two times; its last fortnight if none are named."""
        found: Answer = self._get(at("energy", "series", series, "hours"), **{"from": since, "until": until})
        return found

    def job(self, job: str) -> Answer:
        """Energy and carbon of a job so far."""
        found: Answer = self._get(at("energy", "jobs", job))
        return found
