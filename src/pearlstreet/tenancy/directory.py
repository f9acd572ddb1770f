"""Slugs of organisation and project ids, and search of organisations, for pages that list many organisations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor, Organisation, Standing
from pearlstreet.tenancy.tables import orgs, projects

TOGETHER = 500
"""Largest number of ids in one query."""


def org_names(store: Store, actor: Actor, ids: Iterable[str]) -> Mapping[str, str]:
    """Return the slugs of organisations by id, without those that the actor cannot see."""
    return _slugs(store, actor, orgs, orgs.c.id, ids)


def project_names(store: Store, actor: Actor, ids: Iterable[str]) -> Mapping[str, str]:
    """Return the slugs of projects by id, without those in organisations that the actor cannot see."""
    return _slugs(store, actor, projects, projects.c.org_id, ids)


def owner_names(
    store: Store, owners: Iterable[tuple[str | None, str | None]]
) -> Mapping[tuple[str | None, str | None], str]:
    """Return the names of (organisation id, project id) pairs: `acme`, or `acme/vision` for a project.

    No rights are checked, so the pairs must come from rows that the caller was allowed to read. An unknown id is its own
    name; a pair of two None has the empty name.
    """
    wanted = set(owners)

    def read(tx: Tx) -> Mapping[str, str]:
        slugs: dict[str, str] = {}
        for table, ids in (
            (orgs, {org for org, _ in wanted if org}),
            (projects, {project for _, project in wanted if project}),
        ):
            ordered = sorted(ids)
            for start in range(0, len(ordered), TOGETHER):
                part = table.c.id.in_(ordered[start : start + TOGETHER])
                slugs |= {
                    row["id"]: row["slug"] for row in tx.rows(sa.select(table.c.id, table.c.slug).where(part))
                }
        return slugs

    slugs = store.read(read) if wanted else {}
    return {pair: "/".join(slugs.get(part, part) for part in pair if part) for pair in wanted}


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


def search_orgs(
    store: Store,
    actor: Actor,
    *,
    words: str = "",
    state: Standing | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[Organisation]:
    """Return organisations that the actor sees, ordered by slug, after the slug `after`.

    `words` must occur in the slug or name, or equal the id.
    """
    visible = actor.orgs_with("orgs:read")
    found = sa.select(orgs).order_by(orgs.c.slug).limit(limit)
    if visible is not None:
        found = found.where(orgs.c.id.in_(sorted(visible)))
    if words:
        named = orgs.c.name.icontains(words, autoescape=True) | (orgs.c.id == words)
        found = found.where(orgs.c.slug.icontains(words, autoescape=True) | named)
    if state is not None:
        found = found.where(orgs.c.state == state.value)
    if after is not None:
        found = found.where(orgs.c.slug > after)
    return [
        Organisation(row["id"], row["slug"], row["name"], Standing(row["state"]), row["created_us"])
        for row in store.read(lambda tx: tx.rows(found))
    ]
