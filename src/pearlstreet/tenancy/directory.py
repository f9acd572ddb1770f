"""Names for ids: what pages that list many organisations' rows show instead of ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs, projects

TOGETHER = 500
"""Ids asked for in one query."""


def org_names(store: Store, actor: Actor, ids: Iterable[str]) -> Mapping[str, str]:
    """Id → slug, of those organisations that the actor may see."""
    return _slugs(store, actor, orgs, orgs.c.id, ids)


def project_names(store: Store, actor: Actor, ids: Iterable[str]) -> Mapping[str, str]:
    """Id → slug, of projects of those organisations that the actor may see."""
    return _slugs(store, actor, projects, projects.c.org_id, ids)


def _slugs(
    store: Store, actor: Actor, table: sa.Table, owner: sa.ColumnElement[str], ids: Iterable[str]
) -> Mapping[str, str]:
    wanted, visible = sorted(set(ids)), actor.orgs_with("orgs:read")

    def query(tx: Tx) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(wanted), TOGETHER):
            part = sa.select(table.c.id, table.c.slug).where(table.c.id.in_(wanted[start : start + TOGETHER]))
            if visible is not None:
                part = part.where(owner.in_(sorted(visible)))
            found |= {row["id"]: row["slug"] for row in tx.rows(part)}
        return found

    return store.read(query)
