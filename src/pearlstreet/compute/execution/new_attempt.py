"""What an owner says of an attempt that it places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pearlstreet.base.money import Money
from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.execution.model import AttemptState


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt to be placed. The placement must fit on its nodes; who places it has checked that in the same transaction."""

    id: str
    owner_kind: str
    owner_id: str
    org_id: str
    project_id: str
    """Project to which its use is metered."""
    number: int
    """Number among the attempts of its owner, from 1."""
    engine: str
    placement: Mapping[str, object]
    """`tasks`: rank, node, `cpu_milli`, `memory_mib` and `devices` of each; `model` of the devices; what else its owner notes."""
    usage: AttemptUsage
    price_version_id: str
    rate: Money
    """Price of an hour; 0 if it is not billed."""
    hold_id: str | None
    """Hold on the balance; None: it is not billed."""
    time_limit_s: float
    covered_s: float
    """Seconds that the hold covers; a loop extends it up to `time_limit_s`."""
    grace_s: float
    """Seconds between SIGTERM and SIGKILL when it is stopped."""
    why_here: Mapping[str, object] | None = None
    planned: Mapping[str, object] | None = None
    """What the planner knows of its request; None: it was not planned, and is never stopped for others."""
    array_id: str | None = None
    """Array of which it is an element."""

    def row(self, now_us: int) -> dict[str, object]:
        """Return the row of the table of attempts, placed at `now_us`."""
        return {
            "id": self.id,
            "owner_kind": self.owner_kind,
            "owner_id": self.owner_id,
            "org_id": self.org_id,
            "project_id": self.project_id,
            "number": self.number,
            "engine": self.engine,
            "state": AttemptState.PLACED.value,
            "placement": dict(self.placement),
            "why_here": self.why_here,
            "planned": self.planned,
            "array_id": self.array_id,
            "usage": self.usage.to_json(),
            "hold_id": self.hold_id,
            "price_version_id": self.price_version_id,
            "hourly_micro": self.rate.micro,
            "placed_us": now_us,
            "span_sequence": 0,
            "time_limit_s": self.time_limit_s,
            "covered_s": self.covered_s,
            "grace_s": self.grace_s,
            "due_us": now_us,
        }
