"""How the center schedules: policy, queues, maintenance and reservations, decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Policy(Noun):
    """The scheduling policy and its versions."""

    def show(self) -> results.PolicyShown:
        """Return the scheduling policy in force."""
        found: results.PolicyShown = self._get("/scheduling/policy")
        return found

    def set(
        self, settings: Mapping[str, object], *, default_queue: str | None = None, note: str = ""
    ) -> results.PolicyShown:
        """Change settings of the policy; the others keep their values."""
        body = given(settings=dict(settings), default_queue=default_queue, note=note)
        found: results.PolicyShown = self._send("PATCH", "/scheduling/policy", body)
        return found

    def history(self, *, limit: int = 100) -> Iterator[results.Version]:
        """Yield all versions of the policy, newest first. `limit` is the size of a page."""
        return self._pages("/scheduling/policy/versions", limit=limit)

    def rollback(self, number: int, *, note: str = "") -> results.PolicyShown:
        """Put an earlier version of the policy in force again; 0 is the one of the center's settings."""
        found: results.PolicyShown = self._send(
            "POST", "/scheduling/policy/rollback", given(number=number, note=note)
        )
        return found


class Queues(Noun):
    """Queues that jobs may name."""

    def list(self) -> Rows[results.Queue]:
        """Return the queues that you may use; operators get all."""
        found: Rows[results.Queue] = self._get("/scheduling/queues")["items"]
        return found

    def set(
        self,
        queue: str,
        *,
        rank: int | None = None,
        title: str | None = None,
        settings: Mapping[str, object] | None = None,
        allowed: Sequence[str] | None = None,
        engines: Sequence[str] | None = None,
        note: str = "",
    ) -> results.Queue:
        """Create or change a queue. `allowed`: org or org/project; empty: everybody. `engines`: those that run its jobs; empty: all."""
        body = given(
            rank=rank,
            title=title,
            settings=dict(settings) if settings else None,
            allowed=None if allowed is None else [*allowed],
            engines=None if engines is None else [*engines],
            note=note,
        )
        found: results.Queue = self._send("PUT", at("scheduling", "queues", queue), body)
        return found

    def remove(self, queue: str, *, note: str = "") -> results.Queue:
        """Remove a queue; its waiting jobs move to the default queue."""
        found: results.Queue = self._send("DELETE", at("scheduling", "queues", queue), note=note)
        return found


class Windows(Noun):
    """Maintenance and reservations."""

    def list(self, *, over: bool = False, limit: int = 100) -> Iterator[results.Window]:
        """Yield maintenance windows and reservations, newest first; `over`: also those that have ended."""
        return self._pages("/scheduling/windows", over=over, limit=limit)

    def make(self, kind: str, until: str, reason: str, **what: object) -> results.Window:
        """Create a window on `nodes`, the nodes of an `engine`, or `cards` of a `model`; `start`: now by default; `org`: holder of a reservation."""
        body = given(kind=kind, until=until, reason=reason, **{"from": what.pop("start", None)}, **what)
        found: results.Window = self._send("POST", "/scheduling/windows", body)
        return found

    def end(self, window: str) -> results.Window:
        """Cancel a window that has not begun, or end it early."""
        found: results.Window = self._send("DELETE", at("scheduling", "windows", window))
        return found


class Decisions(Noun):
    """What the planner decided."""

    def list(self, *, limit: int = 100) -> Iterator[results.Decision]:
        """Yield the kept decisions of the planner, newest first."""
        return self._pages("/scheduling/decisions", limit=limit)

    def show(self, decision: str) -> results.WholeDecision:
        """Return a decision: the planner's snapshot, settings and plan."""
        found: results.WholeDecision = self._get(at("scheduling", "decisions", decision))
        return found

    def replay(self, decision: str) -> results.Replayed:
        """Plan a decision again; returns whether the plan is identical, or where it differs."""
        found: results.Replayed = self._get(at("scheduling", "decisions", decision, "replay"))
        return found


class WhatIfs(Noun):
    """What other policies, limits, queues, windows or machines would have done."""

    def ask(
        self,
        *,
        days: int = 30,
        policies: Sequence[str] = (),
        cluster: str = "",
        extra: str = "",
        less: str = "",
        quotas: Sequence[str] = (),
        queues: Sequence[str] = (),
        windows: Sequence[str] = (),
        org: str | None = None,
    ) -> results.WhatIf:
        """Ask a what-if question; the center replays the last days in a separate process."""
        body = {
            "days": days,
            "policies": [*policies],
            "cluster": cluster,
            "extra": extra,
            "less": less,
            "quotas": [*quotas],
            "queues": [*queues],
            "windows": [*windows],
        }
        found: results.WhatIf = self._send("POST", "/what-ifs", body, org=org)
        return found

    def list(self, *, org: str | None = None) -> Rows[results.WhatIf]:
        """Return what-if questions, newest first."""
        found: Rows[results.WhatIf] = self._get("/what-ifs", org=org)["items"]
        return found

    def show(self, what_if: str) -> results.WholeWhatIf:
        """Return a what-if question with its answer."""
        found: results.WholeWhatIf = self._get(at("what-ifs", what_if))
        return found

    def stop(self, what_if: str) -> results.WhatIf:
        """Stop a what-if question that is not answered yet."""
        found: results.WhatIf = self._send("DELETE", at("what-ifs", what_if))
        return found
