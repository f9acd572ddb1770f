"""SQL condition for the rows of projects that an actor may see."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org


def visible_rows(
    tx: Tx, actor: Actor, scope: str, table: sa.Table, *, org: str | None = None
) -> sa.ColumnElement[bool]:
    """Return the SQL condition for rows in whose organisation and project the actor has `scope`.

    `table` has the columns `org_id` and `project_id`. `org` (slug or id) limits the rows to one organisation.
    Raises NotFound, Forbidden.
    """
    if org is not None:
        owner = find_org(tx, actor, org, scope, actor.project_id)
        within = table.c.org_id == owner.id
    elif actor.tie is not None and actor.project_id is not None:
        allowed = actor.may(scope, actor.tie.org_id, actor.project_id)
        within = table.c.org_id == actor.tie.org_id if allowed else sa.false()
    else:
        orgs = actor.orgs_with(scope)
        within = sa.true() if orgs is None else table.c.org_id.in_(sorted(orgs))
    if actor.project_id is not None:
        within = sa.and_(within, table.c.project_id == actor.project_id)
    return within
