"""Report of idle accelerators by project: accelerator-hours, what they cost, and what releasing them has saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import Money
from pearlstreet.base.units import HOUR_S
from pearlstreet.compute.jobs.tables import idle_attempts
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.tables import orgs, projects

DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class IdleProject:
    """Idle accelerators of the jobs of one project that were first idle in the period."""

    org: str
    project: str
    """Slugs."""
    attempts: int
    hours: float
    """Accelerator-hours between samples below the threshold."""
    cost: Money
    """What the jobs cost in their idle time, with their CPUs and memory."""
    warned: int
    released: int
    saved: Money
    """At most: what the released jobs would have cost until their time limits."""


def idle_by_project(
    store: Store, actor: Actor, *, org: str | None = None, days: float = 30.0
) -> Sequence[IdleProject]:
    """Return the projects that the actor may see, the most idle first. Raises NotFound for an unknown organisation."""
    table = idle_attempts

    def query(tx: Tx) -> Sequence[IdleProject]:
        since_us = tx.now_us - int(min(days, DAYS_MAX) * 24 * HOUR_S * US_PER_S)
        wanted = (
            sa.select(
                orgs.c.slug.label("org"),
                projects.c.slug.label("project"),
                table.c.cards_bp,
                table.c.hourly_micro,
                table.c.idle_us,
                table.c.warned_us,
                table.c.released_us,
                table.c.saved_micro,
            )
            .join(orgs, orgs.c.id == table.c.org_id)
            .join(projects, projects.c.id == table.c.project_id)
            .where(table.c.first_us >= since_us)
            .where(visible_rows(tx, actor, "jobs:read", table, org=org))
        )
        found: dict[tuple[str, str], list[sa.RowMapping]] = {}
        for row in tx.execute(wanted).mappings():
            found.setdefault((row["org"], row["project"]), []).append(row)
        return sorted((_project(*place, rows) for place, rows in found.items()), key=lambda one: -one.hours)

    return store.read(query)


def _project(org: str, project: str, rows: Sequence[sa.RowMapping]) -> IdleProject:
    hour_us = HOUR_S * US_PER_S
    return IdleProject(
        org,
        project,
        len(rows),
        round(sum(row["idle_us"] / hour_us * row["cards_bp"] / FULL_BP for row in rows), 3),
        Money(round(sum(row["idle_us"] * row["hourly_micro"] for row in rows) / hour_us)),
        sum(row["warned_us"] is not None for row in rows),
        sum(row["released_us"] is not None for row in rows),
        Money(sum(row["saved_micro"] for row in rows)),
    )
