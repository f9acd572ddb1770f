"""Usage of each project for fair share, decayed with a half-life; metering adds to it and the planner reads it."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.execution.tables import fair_use
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import meta

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
