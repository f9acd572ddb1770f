"""Storage of each project: size, remaining quota, retention, and monthly cost at current prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.base.units import GIB
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.retention_rules import kept_days
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.prices import current_prices
from pearlstreet.storage.levels import RESOURCE
from pearlstreet.storage.quota import storage_limits, tightest
from pearlstreet.storage.tables import storage_levels
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.tables import projects


@dataclass(frozen=True, slots=True)
class ProjectStorage:
    """Storage of one project."""

    org_id: str
    project_id: str
    project: str
    """Slug of the project."""
    stored_bytes: int
    left_bytes: int | None
    """Bytes that fit within its own and its organisation's limit; None: no limit."""
    kept_days: int
    """Days for which new outputs are kept; 0: for ever."""
    month_cost: Money
    """Cost of a month at current prices if nothing is added or deleted."""


def storage_of(store: Store, actor: Actor, runtime: Runtime, org: str) -> Sequence[ProjectStorage]:
    """Return the storage of an organisation by project. Raises NotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[ProjectStorage]:
        owner = find_org(tx, actor, org, "quotas:read")
        level = (storage_levels.c.org_id == projects.c.org_id) & (
            storage_levels.c.project_id == projects.c.id
        )
        rows = tx.rows(
            sa.select(projects.c.id, projects.c.slug, storage_levels.c.stored_bytes)
            .outerjoin_from(projects, storage_levels, level)
            .where(projects.c.org_id == owner.id)
            .order_by(projects.c.slug)
        )
        rule = current_prices(tx).rule_for(RESOURCE, Unit.STORAGE_BYTES, None)
        found = []
        for row in rows:
            limit = tightest(storage_limits(tx, runtime.settings, owner.id, row["id"]))
            size = int(row["stored_bytes"] or 0)
            found.append(
                ProjectStorage(
                    org_id=owner.id,
                    project_id=row["id"],
                    project=row["slug"],
                    stored_bytes=size,
                    left_bytes=None if limit is None else max(limit.left, 0),
                    kept_days=kept_days(tx, runtime.settings, owner.id, row["id"]),
                    month_cost=Money(size * rule.micro // (GIB * rule.per)),
                )
            )
        return found

    return store.read(query)
