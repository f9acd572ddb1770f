"""Quotes: offers for a workload before it runs, and what finished runs taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Quotes(Noun):
    """Ask, look, accept, compare."""

    def ask(
        self,
        workload: Mapping[str, object],
        *,
        job: Mapping[str, object] | None = None,
        wanted: Mapping[str, object] | None = None,
        project: str | None = None,
        org: str | None = None,
    ) -> results.Quote:
        """Return a quote: offers for a workload such as {"model": {"name": "Llama 3.1 8B"}, "tokens": 1e9, "mode": "full"}.

        `job`: a specification without accelerators, tasks and time limit; without it nothing can be accepted.
        """
        body = given(
            workload=dict(workload), job=job and dict(job), wanted=wanted and dict(wanted), project=project
        )
        found: results.Quote = self._send("POST", "/quotes", body, org=org)
        return found

    def list(self, *, limit: int = 100, **filters: object) -> Iterator[results.Quote]:
        """Yield quotes, newest first; filters: org, state (a list). `limit` is the size of a page."""
        return self._pages("/quotes", limit=limit, **filters)

    def show(self, quote: str) -> results.Quote:
        """Return a quote with its offers."""
        found: results.Quote = self._get(at("quotes", quote))
        return found

    def accept(self, quote: str, offer: str) -> results.Accepted:
        """Accept an offer (its number, or `cheapest` …): its job is submitted. Returns {"quote": …, "job": …}."""
        found: results.Accepted = self._send("POST", at("quotes", quote, "accept"), {"offer": offer})
        return found

    def withdraw(self, quote: str) -> results.Quote:
        """Withdraw an open quote."""
        found: results.Quote = self._send("DELETE", at("quotes", quote))
        return found

    def compare(self, quote: str) -> results.Comparison:
        """Return the quoted figures beside what the job really took."""
        found: results.Comparison = self._get(at("quotes", quote, "comparison"))
        return found

    def scenarios(self) -> Rows[results.ScenarioRule]:
        """Return the rules of thumb for training."""
        found: Rows[results.ScenarioRule] = self._get("/quotes/scenarios")["items"]
        return found

    def scenario(
        self,
        name: str,
        *,
        tokens: float | None = None,
        mfu: float | None = None,
        accelerators: Sequence[str] = (),
    ) -> results.Scenario:
        """Return the result of a rule of thumb, with its number of tokens and utilisation."""
        asked = given(tokens=tokens, mfu=mfu, accelerator=[*accelerators] or None)
        found: results.Scenario = self._get(at("quotes", "scenarios", name), **asked)
        return found


class Calibration(Noun):
    """What estimates are corrected with."""

    def show(self) -> Rows[results.Factor]:
        """Return the learnt factors of devices and of your recipes."""
        found: Rows[results.Factor] = self._get("/calibration")["items"]
        return found

    def reset(self, *, device: str | None = None, recipe: str | None = None) -> int:
        """Delete what was learnt of a device, of a recipe, or everything; returns the number of deleted observations."""
        found: dict[str, Any] = self._send("DELETE", "/calibration", **given(device=device, recipe=recipe))
        return int(found["lessons"])
