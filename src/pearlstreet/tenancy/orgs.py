"""Commands and queries about organisations and their projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import Text, text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.transitions import record_transition, transition
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.model import (
    LEFT,
    ORG_STATES,
    Actor,
    Organisation,
    Project,
    Standing,
    StandingEvent,
)
from pearlstreet.tenancy.names import SLUG, check_after, check_label, check_slug
from pearlstreet.tenancy.scopes import READ_ONLY
from pearlstreet.tenancy.tables import orgs, projects

DEFAULT_PROJECT = "default"

# These statements are built once because every submit runs them.
_ORG_BY_ID = sa.select(orgs).where(orgs.c.id == sa.bindparam("org"))
_ORG_BY_SLUG = sa.select(orgs).where(orgs.c.slug == sa.bindparam("org"))
_IN_ORG = sa.select(projects).where(projects.c.org_id == sa.bindparam("org"))
_PROJECT_BY_ID = _IN_ORG.where(projects.c.id == sa.bindparam("project"))
_PROJECT_BY_SLUG = _IN_ORG.where(projects.c.slug == sa.bindparam("project"))


def create_org(store: Store, actor: Actor, slug: str, name: str = "") -> Organisation:
    """Create an organisation with its default project. Raises Conflict when the slug is taken."""
    actor.require("orgs:write")
    slug, name = check_slug(slug), check_label(name or slug, "name", 200)

    def command(tx: Tx) -> Organisation:
        if tx.scalar(sa.select(orgs.c.id).where(orgs.c.slug == slug)):
            raise Conflict(text("The slug {slug} is taken", slug=slug))
        made = Organisation(tx.new_id("org"), slug, name, Standing.ACTIVE, tx.now_us)
        tx.execute(
            sa.insert(orgs).values(
                id=made.id, slug=slug, name=name, state=made.state, settings={}, created_us=tx.now_us
            )
        )
        record_transition(tx, made.id, None, made.state, "create")
        _insert_project(tx, made.id, DEFAULT_PROJECT, DEFAULT_PROJECT)
        audit.record(
            tx,
            actor=actor.label,
            action="org.create",
            target=made.id,
            org_id=made.id,
            details={"slug": slug},
        )
        return made

    return store.write(command)


def get_org(store: Store, actor: Actor, org: str) -> Organisation:
    """Return an organisation by id or slug. Raises NotFound when it does not exist or the actor cannot see it."""
    return store.read(lambda tx: find_org(tx, actor, org))


def find_org(
    tx: Tx, actor: Actor, org: str, scope: str = "orgs:read", project_id: str | None = None
) -> Organisation:
    """Return an organisation by id or slug, inside a transaction, if the actor has `scope` in it (or in the project).

    Raises NotFound, Forbidden, and Conflict for a writing scope in an organisation that is closing or closed.
    """
    found = find_org_for_move(tx, actor, org, scope, project_id)
    if found.state in LEFT and scope not in READ_ONLY:
        raise _is_closed(found.slug)
    return found


def find_org_for_move(
    tx: Tx, actor: Actor, org: str, scope: str = "orgs:write", project_id: str | None = None
) -> Organisation:
    """Return an organisation like `find_org`, also one that is closing or closed; for changes of its state."""
    found = _org_row(tx, org)
    absent = _no_org(org)
    if found is None:
        raise NotFound(absent)
    actor.require(scope, found["id"], project_id, missing=absent)
    return _org(found)


def refuse_closed(tx: Tx, org_id: str) -> None:
    """Raise Conflict when the organisation is closing or closed, because its rows are about to be erased."""
    row = tx.execute(_ORG_BY_ID, {"org": org_id}).mappings().first()
    if row is not None and row["state"] in LEFT:
        raise _is_closed(row["slug"])


def _is_closed(slug: str) -> Conflict:
    return Conflict(text("The organisation {org} is closed", org=slug))


def list_orgs(
    store: Store, actor: Actor, *, after: str | None = None, limit: int = 100
) -> Sequence[Organisation]:
    """Return the organisations that the actor sees, ordered by id, after the id `after`."""
    visible = actor.orgs_with("orgs:read")
    query = sa.select(orgs).order_by(orgs.c.id).limit(limit)
    if visible is not None:
        query = query.where(orgs.c.id.in_(visible))
    if after is not None:
        query = query.where(orgs.c.id > check_after(after, "org"))
    return store.read(lambda tx: [_org(row) for row in tx.rows(query)])


def rename_org(store: Store, actor: Actor, org: str, name: str) -> Organisation:
    """Change the organisation's display name; its slug never changes."""
    name = check_label(name, "name", 200)

    def command(tx: Tx) -> Organisation:
        found = find_org(tx, actor, org, "orgs:write")
        tx.execute(sa.update(orgs).where(orgs.c.id == found.id).values(name=name))
        audit.record(
            tx,
            actor=actor.label,
            action="org.rename",
            target=found.id,
            org_id=found.id,
            details={"before": found.name, "after": name},
        )
        return find_org(tx, actor, found.id, "orgs:write")

    return store.write(command)


def change_settings(store: Store, actor: Actor, org: str, values: Mapping[str, object]) -> Organisation:
    """Merge `values` into the organisation's settings; the value None removes a setting."""

    def command(tx: Tx) -> Organisation:
        found = find_org(tx, actor, org, "orgs:write")
        merged = {name: value for name, value in {**found.settings, **values}.items() if value is not None}
        tx.execute(sa.update(orgs).where(orgs.c.id == found.id).values(settings=merged))
        audit.record(
            tx,
            actor=actor.label,
            action="org.settings",
            target=found.id,
            org_id=found.id,
            details={"names": sorted(values)},
        )
        return find_org(tx, actor, found.id, "orgs:write")

    return store.write(command)


def suspend_org(store: Store, actor: Actor, org: str, reason: str = "") -> Organisation:
    """Suspend an organisation: its members can only read until `resume_org`."""
    return _move_org(store, actor, org, StandingEvent.SUSPEND, reason)


def resume_org(store: Store, actor: Actor, org: str, reason: str = "") -> Organisation:
    """Resume a suspended organisation."""
    return _move_org(store, actor, org, StandingEvent.RESUME, reason)


def _move_org(store: Store, actor: Actor, org: str, event: StandingEvent, reason: str) -> Organisation:
    actor.require("orgs:write")
    reason = check_label(reason, "reason", 500)

    def command(tx: Tx) -> Organisation:
        found = find_org_for_move(tx, actor, org)
        why = text("{reason}", reason=reason) if reason else None
        transition(tx, orgs, found.id, ORG_STATES, found.state, event, reason=why)
        audit.record(
            tx,
            actor=actor.label,
            action=f"org.{event.value}",
            target=found.id,
            org_id=found.id,
            details={"reason": reason},
        )
        changed(tx)
        return find_org_for_move(tx, actor, found.id)

    return store.write(command)


def create_project(store: Store, actor: Actor, org: str, slug: str, name: str = "") -> Project:
    """Create a project. Raises Conflict when the organisation has one with that slug."""
    slug, name = check_slug(slug, "project"), check_label(name or slug, "name", 200)

    def command(tx: Tx) -> Project:
        owner = find_org(tx, actor, org, "projects:write")
        if _project_row(tx, owner.id, slug) is not None:
            raise Conflict(text("{org} has a project {slug} already", org=owner.slug, slug=slug))
        made = _insert_project(tx, owner.id, slug, name)
        audit.record(
            tx,
            actor=actor.label,
            action="project.create",
            target=made.id,
            org_id=owner.id,
            details={"slug": slug},
        )
        return made

    return store.write(command)


def get_project(store: Store, actor: Actor, org: str, project: str | None = None) -> Project:
    """Return a project of an organisation, both by id or slug. Raises NotFound.

    Without `project`: the project to which the actor's key is tied, else `default`.
    """
    return store.read(lambda tx: find_project(tx, actor, org, project))


def find_project(
    tx: Tx, actor: Actor, org: str, project: str | None = None, scope: str = "projects:read"
) -> Project:
    """Return a project like `get_project`, inside a transaction, if the actor has `scope` in it."""
    own = actor.project_id
    owner = find_org(tx, actor, org, scope, own)
    wanted = project or own or DEFAULT_PROJECT
    row = _project_row(tx, owner.id, wanted)
    if row is None or own not in (None, row["id"]):
        raise NotFound(
            text("{org} has no project {project}", org=owner.slug, project=wanted),
            hint=text("pearl projects lists them"),
        )
    return _project(row)


def list_projects(
    store: Store, actor: Actor, org: str, *, after: str | None = None, limit: int = 100
) -> Sequence[Project]:
    """Return the organisation's projects, ordered by id, after the id `after`."""

    def query(tx: Tx) -> Sequence[Project]:
        owner = find_org(tx, actor, org, "projects:read", actor.project_id)
        found = sa.select(projects).where(projects.c.org_id == owner.id).order_by(projects.c.id).limit(limit)
        if actor.project_id is not None:
            found = found.where(projects.c.id == actor.project_id)
        if after is not None:
            found = found.where(projects.c.id > check_after(after, "prj"))
        return [_project(row) for row in tx.rows(found)]

    return store.read(query)


def _insert_project(tx: Tx, org_id: str, slug: str, name: str) -> Project:
    made = Project(tx.new_id("prj"), org_id, slug, name, tx.now_us)
    tx.execute(
        sa.insert(projects).values(id=made.id, org_id=org_id, slug=slug, name=name, created_us=tx.now_us)
    )
    return made


def _org_row(tx: Tx, org: str) -> RowMapping | None:
    if not (is_id(org, "org") or SLUG.fullmatch(org)):
        return None
    query = _ORG_BY_ID if is_id(org, "org") else _ORG_BY_SLUG
    return tx.execute(query, {"org": org}).mappings().first()


def _project_row(tx: Tx, org_id: str, project: str) -> RowMapping | None:
    if not (is_id(project, "prj") or SLUG.fullmatch(project)):
        return None
    query = _PROJECT_BY_ID if is_id(project, "prj") else _PROJECT_BY_SLUG
    return tx.execute(query, {"org": org_id, "project": project}).mappings().first()


def _no_org(org: str) -> Text:
    return text("No organisation {org}", org=org[:80])


def _org(row: RowMapping) -> Organisation:
    return Organisation(
        row["id"], row["slug"], row["name"], Standing(row["state"]), row["created_us"], row["settings"]
    )


def _project(row: RowMapping) -> Project:
    return Project(row["id"], row["org_id"], row["slug"], row["name"], row["created_us"])
