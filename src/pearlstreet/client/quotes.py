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
        """Offers for a workload such as {"model": {"name": "Llama 3.1 8B"}, "tokens": 1e9, "mode": "full"}.

        `job`: a specification without accelerators, tasks and time limit; without it nothing can be accepted.
        """
        body = given(
            workload=dict(workload), job=job and dict(job), wanted=wanted and dict(wanted), project=project
        )
        found: results.Quote = self._send("POST", "/quotes", body, org=org)
        return found

    def list(self, *, limit: int = 100, **filters: object) -> Iterator[results.Quote]:
        """Quotes, newest first; filters: org, state (a list). `limit` is a page's size."""
        return self._pages("/quotes", limit=limit, **filters)

    def show(self, quote: str) -> results.Quote:
        """One quote with its offers."""
        found: results.Quote = self._get(at("quotes", quote))
        return found

    def accept(self, quote: str, offer: str) -> results.Accepted:
        """Submit exactly what an offer (its number, or `cheapest` …) says: {"quote": …, "job": …}."""
        found: results.Accepted = self._send("POST", at("quotes", quote, "accept"), {"offer": offer})
        return found

    def withdraw(self, quote: str) -> results.Quote:
        """Take an open quote back."""
        found: results.Quote = self._send("DELETE", at("quotes", quote))
        return found

    def compare(self, quote: str) -> results.Comparison:
        """Return what was quoted beside what the job took."""
        found: results.Comparison = self._get(at("quotes", quote, "comparison"))
        return found

    def scenarios(self) -> Rows[results.ScenarioRule]:
        """Rules of thumb that can be worked out."""
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
        """A rule of thumb with its tokens and utilisation explicit."""
        asked = given(tokens=tokens, mfu=mfu, accelerator=[*accelerators] or None)
        found: results.Scenario = self._get(at("quotes", "scenarios", name), **asked)
        return found


class Calibration(Noun):
    """What estimates are corrected with."""

    def show(self) -> Rows[results.Factor]:
        """Factors of devices, and of one's own recipes."""
        found: Rows[results.Factor] = self._get("/calibration")["items"]
        return found

    def reset(self, *, device: str | None = None, recipe: str | None = None) -> int:
        """Forget what was learnt of a device, of a recipe, or everything; how many lessons."""
        found: dict[str, Any] = self._send("DELETE", "/calibration", **given(device=device, recipe=recipe))
        return int(found["lessons"])
