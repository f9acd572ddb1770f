"""What live attempts hold of each node: for people who look at nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.compute.jobs.model import LIVE_ATTEMPT
from pearlstreet.compute.jobs.tables import attempts
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.store.core import Tx


@dataclass(slots=True)
class NodeUse:
    """Given away on one node."""

    cpus: float = 0.0
    memory_gib: float = 0.0
    cards: float = 0.0
    given: dict[int, float] = field(default_factory=dict)
    """Device → share of its compute."""
    jobs: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """Device → (job, organisation)."""


def node_uses(tx: Tx) -> Mapping[str, NodeUse]:
    """Node → what is given away on it."""
    found: dict[str, NodeUse] = {}
    columns = (attempts.c.job_id, attempts.c.org_id, attempts.c.placement)
    for row in tx.rows(sa.select(*columns).where(attempts.c.state.in_(LIVE_ATTEMPT))):
        for task in row["placement"]["tasks"]:
            use = found.setdefault(task["node"], NodeUse())
            use.cpus += task["cpu_milli"] / 1000
            use.memory_gib += task["memory_mib"] / 1024
            for device in task["devices"]:
                share = 1.0 if device["whole"] else device["compute_bp"] / FULL_BP
                use.cards += share
                use.given[device["index"]] = use.given.get(device["index"], 0.0) + share
                use.jobs.setdefault(device["index"], []).append((row["job_id"], row["org_id"]))
    return found
