"""Fair-share accounts of the planner: decayed usage by organisation and project, and their weights."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.compute.execution.fair_use import decayed, half_life_s
from pearlstreet.compute.execution.tables import fair_use
from pearlstreet.compute.queueing.tables import shares
from pearlstreet.compute.scheduling.rows import Account, Usage
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.tables import projects


def load_accounts(tx: Tx) -> list[Account]:
    """Return the planner's account row of every project that has usage or a weight."""
    half_life = half_life_s(tx)
    weights = {(row["org_id"], row["project_id"]): row["weight"] for row in tx.rows(sa.select(shares))}
    used = {(row["org_id"], row["project_id"]): row for row in tx.rows(sa.select(fair_use))}
    weighed = {org_id for org_id, project_id in weights if not project_id}
    of_weighed = sa.select(projects.c.org_id, projects.c.id).where(projects.c.org_id.in_(weighed))
    first_time = {(row.org_id, row.id) for row in tx.execute(of_weighed)} if weighed else set()
    found = []
    for org_id, project_id in sorted(used.keys() | first_time | {key for key in weights if key[1]}):
        row = used.get((org_id, project_id))
        usage = Usage()
        if row is not None:
            faded = [
                decayed(row[name], row["at_us"], tx.now_us, half_life)
                for name in ("pflops_h", "cpu_h", "memory_gib_h")
            ]
            usage = Usage(*faded)
        found.append(
            Account(
                org=org_id,
                project=project_id,
                usage=usage,
                weight=weights.get((org_id, project_id), 1.0),
                org_weight=weights.get((org_id, ""), 1.0),
            )
        )
    return found
