"""Engines of the center, as the client reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at

if TYPE_CHECKING:
    from pearlstreet.client import results


class Engines(Noun):
    """Pools of machines, each behind one engine."""

    def list(self) -> Rows[results.Engine]:
        """Return the engines by name; `details` is null for tenants."""
        found: Rows[results.Engine] = self._get("/engines")["items"]
        return found

    def get(self, engine: str) -> results.Engine:
        """Return one engine."""
        found: results.Engine = self._get(at("engines", engine))
        return found

    def check(self, engine: str) -> results.EngineChecks:
        """Run the checks of an engine and return each with its problem and fix."""
        found: results.EngineChecks = self._send("POST", at("engines", engine, "check"))
        return found

    def reconcile(self, engine: str, *, hours: float = 168, correct: bool = False) -> results.Reconciliation:
        """Compare metered attempts of the last hours with the accounting of the engine's cluster; `correct`: correct charges."""
        body = {"hours": hours, "correct": correct}
        found: results.Reconciliation = self._send("POST", at("engines", engine, "reconcile"), body)
        return found
