"""A toy owner of attempts, neither job nor build: a counter that wants to be run until it has succeeded some times.

Everything it needs is in this file: no other module knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, TaskOrder
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.owners import Kept
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.owners import QueuedOwner, WaitReason
from pearlstreet.compute.queueing.waiting import WaitingRequest, add_requests, withdraw_request
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Row, Tx

RUNS_S = 20.0
CARD = ResourceRequest(
    tasks=1,
    accelerators=("H100",),
    count=1,
    share_memory_mib=0,
    share_compute_bp=0,
    cpu_milli=1000,
    memory_mib=1024,
    time_limit_s=600.0,
    preemptible=False,
    retries=0,
    grace_s=5.0,
)


@dataclass
class Counter(QueuedOwner):
    """Counts how often its command succeeded, in memory."""

    org_id: str
    project_id: str
    until: int = 1
    gives_up: bool = False
    """Whether it does not wait until its organisation can pay."""
    succeeded: int = 0
    seen: list[str] = field(default_factory=list)
    """What it was told, in order."""
    placed: list[str] = field(default_factory=list)
    """Ids of its attempts."""
    kind = "counter"

    def ask(self, tx: Tx) -> None:
        """Ask for a card; the planner decides when and where."""
        request = WaitingRequest(
            id="counter_1",
            owner_kind=self.kind,
            org_id=self.org_id,
            project_id=self.project_id,
            request=CARD,
            price_version_id=current_prices(tx).id,
            queue="default",
            submitted_us=tx.now_us,
            attempts=len(self.placed),
        )
        add_requests(tx, [request])

    def on_placed(self, tx: Tx, request: Row, attempt_id: str) -> None:
        self.seen.append("placed")
        self.placed.append(attempt_id)

    def on_reasons(self, tx: Tx, reasons: Mapping[str, WaitReason | None]) -> None:
        self.seen += [f"waits: {why.code}" for why in reasons.values() if why is not None]

    def on_refused(self, tx: Tx, request: Row, why: Text) -> bool:
        if self.gives_up:
            self.seen.append("refused")
            withdraw_request(tx, request["id"])
        return self.gives_up

    def order(self, tx: Tx, attempt: Row) -> AttemptOrder:
        tasks: Sequence[Row] = attempt["placement"]["tasks"]
        return AttemptOrder(
            attempt_id=attempt["id"],
            job_id=attempt["owner_id"],
            tenant_id=attempt["org_id"],
            command=("true",),
            tasks=tuple(
                TaskOrder(0, task["node"], 1.0, 1.0, (DeviceGrant(task["devices"][0]["index"]),))
                for task in tasks
            ),
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
            self.ask(tx)


def free_of_charge(counter: Counter, why: Text) -> Counter:
    """Return the counter with a rule that bills none of its time."""
    counter.why_unbilled = lambda attempt: why  # type: ignore[method-assign]
    return counter
