"""A toy owner of attempts, neither job nor build: a counter that wants to be run until it has succeeded some times.

Everything it needs is in this file: no other module knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, TaskOrder
from pearlstreet.compute.execution.lifecycle import place_attempt
from pearlstreet.compute.execution.metering import AttemptUsage, rate_of
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.new_attempt import NewAttempt
from pearlstreet.compute.execution.owners import Kept, Owner
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Row, Tx

RUNS_S = 20.0


@dataclass
class Counter(Owner):
    """Counts how often its command succeeded, in memory."""

    org_id: str
    project_id: str
    node: str = "h100-0001"
    until: int = 1
    succeeded: int = 0
    seen: list[str] = field(default_factory=list)
    """What it was told, in order."""
    placed: list[str] = field(default_factory=list)
    """Ids of its attempts."""
    kind = "counter"

    def place(self, tx: Tx) -> str:
        """Place an attempt with the first card of its node."""
        usage = AttemptUsage("H100-80G", FULL_BP, 1000, 1024, None, "unknown")
        version = current_prices(tx).id
        card = {"index": 0, "memory_mib": 80 * 1024, "compute_bp": FULL_BP, "whole": True}
        task = {"rank": 0, "node": self.node, "cpu_milli": 1000, "memory_mib": 1024, "devices": [card]}
        attempt_id = tx.new_id("att")
        place_attempt(
            tx,
            NewAttempt(
                id=attempt_id,
                owner_kind=self.kind,
                owner_id="counter_1",
                org_id=self.org_id,
                project_id=self.project_id,
                number=len(self.placed) + 1,
                engine="simulated",
                placement={"tasks": [task], "model": "H100-80G"},
                usage=usage,
                price_version_id=version,
                rate=rate_of(tx, version, usage),
                hold_id=None,
                time_limit_s=600.0,
                covered_s=600.0,
                grace_s=5.0,
            ),
        )
        self.placed.append(attempt_id)
        return attempt_id

    def order(self, tx: Tx, attempt: Row) -> AttemptOrder:
        tasks: Sequence[Row] = attempt["placement"]["tasks"]
        return AttemptOrder(
            attempt_id=attempt["id"],
            job_id=attempt["owner_id"],
            tenant_id=attempt["org_id"],
            command=("true",),
            tasks=tuple(TaskOrder(0, task["node"], 1.0, 1.0, (DeviceGrant(0),)) for task in tasks),
            simulate_s=RUNS_S,
        )

    def on_running(self, tx: Tx, attempt: Row, started_us: int) -> None:
        self.seen.append("running")

    def on_stopping(self, tx: Tx, attempt: Row, why: StopReason, reason: Text) -> None:
        self.seen.append(f"stopping: {why}")

    def load_outputs(self, tx: Tx, attempt: Row) -> Row:
        return {"loaded": attempt["id"]}

    def keep_outputs(self, attempt: Row, loaded: Row) -> Any:
        return loaded["loaded"]

    def note_outputs(self, tx: Tx, attempt: Row, loaded: Row, stored: Any) -> Kept:
        assert stored == attempt["id"]
        self.seen.append("kept")
        return Kept()

    def on_ended(self, tx: Tx, attempt: Row, message: Text | None, *, outputs_refused: bool) -> None:
        self.seen.append(f"ended: {attempt['end_reason']}")
        self.succeeded += attempt["exit_code"] == 0
        if self.succeeded < self.until:
            self.place(tx)


def free_of_charge(counter: Counter, why: Text) -> Counter:
    """Return the counter with a rule that bills none of its time."""
    counter.why_unbilled = lambda attempt: why  # type: ignore[method-assign]
    return counter
