"""The benchmarks that are kept of a node, as people look at them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.compute.hardware.bench.result import BenchResult
from pearlstreet.compute.pool.tables import benchmarks
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class KeptBenchmark:
    """Stored benchmark of a node. `result` None: stored in a format that this version cannot read."""

    id: str
    at_us: int
    result: BenchResult | None


def list_benchmarks(store: Store, actor: Actor, node: str, *, limit: int = 20) -> Sequence[KeptBenchmark]:
    """Return the benchmarks of a node, newest first. Raises Forbidden without nodes:read."""
    actor.require("nodes:read")
    newest = sa.select(benchmarks).where(benchmarks.c.node == node).order_by(benchmarks.c.id.desc())
    rows = store.read(lambda tx: tx.rows(newest.limit(limit)))
    return [KeptBenchmark(row["id"], row["at_us"], _read(row["result"])) for row in rows]


def _read(kept: object) -> BenchResult | None:
    try:
        return BenchResult.from_json(json.dumps(kept))
    except ValueError:
        return None
