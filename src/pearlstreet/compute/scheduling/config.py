"""Configuration of the planner: names of policies, and bounds. It is a value, so that the decision log can store it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """A named queue: what differs from the center's settings for its jobs. None: the center's setting."""

    name: str
    rank: int = 0
    """Queues of a lower rank are planned first; jobs of no named queue have rank 0."""
    order: str | None = None
    placement: str | None = None
    backfill: str | None = None
    preemption: str | None = None
    elasticity: str | None = None
    min_run_s: float | None = None
    grace_s: float | None = None
    wait_max_s: float | None = None


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """One center's planner settings; every name is looked up in `registry`."""

    order: str = "fair-share"
    """Order in which waiting jobs are planned."""
    placement: str = "expected-fill"
    """Rule that chooses among the nodes a job fits on."""
    backfill: str = "easy"
    """`easy`: the first blocked job gets a reservation; `conservative`: the first `reserve_depth` do; `greedy`: none;
    `strict`: nobody passes a blocked job."""
    preemption: str = "priority"
    """Whom a job may displace: `none`, those of strictly lower `priority` in its project and borrowers, the same in any
    account (`priority-across-accounts`), or any job ranked behind it by the order policy (`rank`)."""
    elasticity: str = "none"
    """Resizing of gangs that state a smallest and largest number of tasks: `none`, `shrink` (start with fewer, cut for a blocked job),
    `grow` (widen into idle devices, give that back) or `grow-shrink` (both)."""
    queues: tuple[QueuePolicy, ...] = ()
    depth: int = 1000
    """Different requests (equal ones count once) tried in one cycle; the rest keep a cheap reason."""
    preempt_depth: int = 8
    """Blocked jobs for which victims are looked for in one cycle."""
    preempt_limit: int = 500
    """No further claim is served by preemption in a cycle that already stops this number of attempts."""
    min_run_s: float = 600.0
    """An attempt is neither preempted nor cut before it ran this long since its start, or its last resize."""
    grow_after_s: float = 900.0
    """An elastic job does not grow before it ran this long since its start, or its last resize."""
    grace_s: float = 60.0
    """Seconds that a preempted attempt may take to release its resources."""
    assumed_run_s: float = 86_400.0
    """Run time assumed for an attempt with neither limit nor prediction, for estimates only."""
    age_s: float = 0.0
    """Order `priority`: waiting this long raises a priority by one; 0: never."""
    wait_max_s: float = 0.0
    """Anti-starvation: who has waited this long since it last ran goes ahead of all who have not, oldest first, and is not
    displaced by rank; 0: off."""
    las_levels_h: tuple[float, ...] = (5.0, 40.0)
    """Order `las`: device hours at which a job falls to the next level; levels after the first apply only where little of all work lies below them."""
    reserve_depth: int = 32
    """Blocked jobs that get a reservation with `conservative` backfill; the rest is planned as with `easy`."""
    restart_s: float = 40.0
    """Seconds that a stop and restart cost a job on one node, for policies that weigh it."""
    restart_gang_s: float = 60.0
    """The same for a job of several nodes."""
    half_life_s: float = 7 * 86_400.0
    """Half-life of fair-share usage: after this time, use counts half."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON form that `config_from_json` reads back."""
        return asdict(self)

    def of_queue(self, name: str) -> PlannerConfig:
        """Return the settings for jobs of a queue; the center's own when there is no such queue."""
        policy = next((queue for queue in self.queues if queue.name == name), None)
        if policy is None:
            return self
        values = {f.name: getattr(policy, f.name) for f in fields(policy) if f.name not in ("name", "rank")}
        return replace(self, **{name: value for name, value in values.items() if value is not None})


def config_from_json(value: Mapping[str, Any]) -> PlannerConfig:
    """Return the configuration that `to_json` wrote, now or before; unknown keys are an error of type TypeError."""
    known = dict(value)
    if isinstance(
        known.get("preemption"), bool
    ):  # older versions stored true or false instead of a policy's name
        known["preemption"] = "priority" if known["preemption"] else "none"
    if "las_levels_h" in known:
        known["las_levels_h"] = tuple(known["las_levels_h"])
    known["queues"] = tuple(QueuePolicy(**queue) for queue in known.get("queues", ()))
    return PlannerConfig(**known)
