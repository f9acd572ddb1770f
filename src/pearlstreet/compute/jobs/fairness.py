"""Fair-share accounts: usage by organisation and project, decayed with a half-life, and their weights."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.jobs.tables import fair_use, shares
from pearlstreet.compute.scheduling.rows import Account, Usage
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import meta
from pearlstreet.tenancy.tables import projects

HALF_LIFE = "fair_share_half_life_s"
HALF_LIFE_S = 7 * 86_400.0
_HALF_LIFE = sa.select(meta.c.value).where(meta.c.name == HALF_LIFE)
_OF_PROJECT = (fair_use.c.org_id == sa.bindparam("of_org")) & (
    fair_use.c.project_id == sa.bindparam("of_project")
)
_USE = sa.select(fair_use).where(_OF_PROJECT)
_CHANGE_USE = sa.update(fair_use).where(_OF_PROJECT)


def half_life_s(tx: Tx) -> float:
    """Return the half-life of past usage in seconds."""
    kept = tx.execute(_HALF_LIFE).scalar()
    return float(kept) if kept else HALF_LIFE_S


def decayed(value: float, since_us: int, now_us: int, half_life: float) -> float:
    """PURE: return `value` decayed exponentially from `since_us` to `now_us`; `half_life` in seconds."""
    return float(value * 0.5 ** (max(0, now_us - since_us) / US_PER_S / half_life))


def add_use(
    tx: Tx, org_id: str, project_id: str, *, pflops_h: float, cpu_h: float, memory_gib_h: float
) -> None:
    """Add usage to a project, after decaying its earlier usage to the present."""
    key = {"of_org": org_id, "of_project": project_id}
    row = tx.execute(_USE, key).mappings().first()
    fresh = {"pflops_h": pflops_h, "cpu_h": cpu_h, "memory_gib_h": memory_gib_h}
    if row is None:
        tx.execute(sa.insert(fair_use).values(org_id=org_id, project_id=project_id, at_us=tx.now_us, **fresh))
        return
    half_life = half_life_s(tx)
    values = {
        name: decayed(row[name], row["at_us"], tx.now_us, half_life) + used for name, used in fresh.items()
    }
    tx.execute(_CHANGE_USE, {**key, "at_us": tx.now_us, **values})


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
