"""Commands and queries about members of organisations, and about one's own memberships."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import Conflict, Forbidden, NotFound
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.grants import require_role
from pearlstreet.tenancy.invitation_records import withdraw_invitations_of
from pearlstreet.tenancy.keys import revoke_with_descendants
from pearlstreet.tenancy.model import Actor, Membership, Standing
from pearlstreet.tenancy.names import LOGIN
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import api_keys, memberships, orgs, users

REMOVED = "member.removed"
"""Topic of the event that notifies a user of the removal."""

_MEMBERS = (
    sa.select(
        memberships,
        users.c.name.label("user_name"),
        users.c.display_name,
        orgs.c.slug.label("org_slug"),
    )
    .join(users, users.c.id == memberships.c.user_id)
    .join(orgs, orgs.c.id == memberships.c.org_id)
)


def list_members(store: Store, actor: Actor, org: str) -> Sequence[Membership]:
    """Return the members of the organisation, ordered by login name."""

    def query(tx: Tx) -> Sequence[Membership]:
        owner = find_org(tx, actor, org, "users:read")
        return [_member(row) for row in tx.rows(_MEMBERS.where(orgs.c.id == owner.id).order_by(users.c.name))]

    return store.read(query)


def list_memberships(store: Store, actor: Actor) -> Sequence[Membership]:
    """Return the actor's own memberships, ordered by the organisation's slug."""
    query = _MEMBERS.where(memberships.c.user_id == actor.user_id, orgs.c.id.in_(actor.orgs)).order_by(
        orgs.c.slug
    )
    return store.read(lambda tx: [_member(row) for row in tx.rows(query)])


def read_memberships(tx: Tx, user_id: str) -> Sequence[Membership]:
    """Return all memberships of a user, ordered by the organisation's slug. The caller checks who may see them."""
    query = _MEMBERS.where(memberships.c.user_id == user_id).order_by(orgs.c.slug)
    return [_member(row) for row in tx.rows(query)]


def set_role(store: Store, actor: Actor, org: str, user: str, role: OrgRole) -> Membership:
    """Change a member's role. Raises NotFound for a non-member, Conflict for the last owner.

    Raises Forbidden for a role with scopes that the actor's key lacks.
    """

    def command(tx: Tx) -> Membership:
        owner = find_org(tx, actor, org, "users:write")
        before = _find_member(tx, owner.id, owner.slug, user)
        require_role(actor, owner.id, role, before.role)
        _keep_an_owner(tx, before, role)
        tx.execute(sa.update(memberships).where(*_one(before.user_id, owner.id)).values(role=role))
        if role is not OrgRole.OWNER:
            withdraw_invitations_of(tx, actor.label, owner.id, before.user_id)
        audit.record(
            tx,
            actor=actor.label,
            action="member.role",
            target=before.user_id,
            org_id=owner.id,
            details={"user": before.user_id, "before": before.role, "after": role},
        )
        changed(tx)
        return _find_member(tx, owner.id, owner.slug, before.user_id)

    return store.write(command)


def remove_member(store: Store, actor: Actor, org: str, user: str) -> None:
    """End a membership; the account and running jobs stay. Raises NotFound, or Conflict for the last owner."""

    def command(tx: Tx) -> None:
        owner = find_org(tx, actor, org, "users:write")
        before = _find_member(tx, owner.id, owner.slug, user)
        _end_membership(tx, actor, before, "member.remove")
        if before.user_id != actor.user_id:
            # The event has no organisation, so it reaches only the removed user, not webhooks or other members.
            outbox.emit(tx, REMOVED, {"user": before.user_id, "org": before.org_slug})

    store.write(command)


def leave_org(store: Store, actor: Actor, org: str) -> None:
    """End the actor's own membership. Raises NotFound, or Conflict for the last owner."""

    def command(tx: Tx) -> None:
        require_person(tx, actor)
        _end_membership(tx, actor, _find_own(tx, actor, org), "member.leave")

    store.write(command)


def set_default_org(store: Store, actor: Actor, org: str | None) -> str | None:
    """Set the actor's default organisation, for requests that name none; None: such requests are refused.

    Returns its slug. Raises NotFound for an organisation of which the actor is no member.
    """

    def command(tx: Tx) -> str | None:
        require_person(tx, actor)
        chosen = None if org is None else _find_own(tx, actor, org)
        choose_default(tx, actor, None if chosen is None else chosen.org_id)
        return None if chosen is None else chosen.org_slug

    return store.write(command)


def choose_default(tx: Tx, actor: Actor, org_id: str | None) -> None:
    """Set the actor's default organisation inside a transaction whose caller has checked the right to do so."""
    tx.execute(sa.update(users).where(users.c.id == actor.user_id).values(default_org_id=org_id))
    # The audit row has no organisation, so that owners do not see which organisation a user prefers.
    audit.record(
        tx,
        actor=actor.label,
        action="user.default_org",
        target=actor.user_id,
        details={"org": org_id},
    )
    changed(tx)


def require_person(tx: Tx, actor: Actor) -> None:
    """Raise Forbidden unless the actor may decide about its own memberships.

    A key tied to an organisation may not: it is valid for that organisation only.
    """
    actor.require("membership:own")
    tied = actor.key_id is not None and tx.scalar(
        sa.select(api_keys.c.org_id).where(api_keys.c.id == actor.key_id)
    )
    if tied or not actor.user_id:
        raise Forbidden(
            text("A key that is tied to an organisation cannot decide about memberships"),
            hint=text("Sign in, or use a key that is not tied"),
        )


def insert_member(tx: Tx, actor: Actor, user_id: str, org_id: str, role: OrgRole) -> None:
    """Create a membership inside a transaction whose caller has the user's consent or has just created the account."""
    tx.execute(sa.insert(memberships).values(user_id=user_id, org_id=org_id, role=role, created_us=tx.now_us))
    details = {"user": user_id, "role": role}
    audit.record(tx, actor=actor.label, action="member.add", target=user_id, org_id=org_id, details=details)
    changed(tx)


def operator_conflict() -> Conflict:
    """Return the error for an operator account that would become a member, or the reverse."""
    return Conflict(
        text("An operator account belongs to no organisation"),
        hint=text("Use a second account for work in an organisation"),
    )


def is_member(tx: Tx, user_id: str, org_id: str) -> bool:
    """Return whether the user is a member of the organisation."""
    return tx.scalar(sa.select(memberships.c.role).where(*_one(user_id, org_id))) is not None


def _end_membership(tx: Tx, actor: Actor, before: Membership, action: str) -> None:
    _keep_an_owner(tx, before, None)
    tied = (api_keys.c.user_id == before.user_id) & (api_keys.c.org_id == before.org_id)
    revoke_with_descendants(tx, actor, tx.execute(sa.select(api_keys.c.id).where(tied)).scalars().all())
    withdraw_invitations_of(tx, actor.label, before.org_id, before.user_id)
    tx.execute(sa.delete(memberships).where(*_one(before.user_id, before.org_id)))
    # Cleared, because joining again later must not make the organisation the default again.
    tx.execute(
        sa.update(users)
        .where(users.c.id == before.user_id, users.c.default_org_id == before.org_id)
        .values(default_org_id=None)
    )
    audit.record(
        tx,
        actor=actor.label,
        action=action,
        target=before.user_id,
        org_id=before.org_id,
        details={"user": before.user_id, "role": before.role},
    )
    changed(tx)


def _keep_an_owner(tx: Tx, before: Membership, after: OrgRole | None) -> None:
    if before.role is not OrgRole.OWNER or after is OrgRole.OWNER:
        return
    others = (
        sa.select(sa.func.count())
        .select_from(memberships)
        .join(users, users.c.id == memberships.c.user_id)
        .where(
            memberships.c.org_id == before.org_id,
            memberships.c.role == OrgRole.OWNER,
            memberships.c.user_id != before.user_id,
            users.c.state != Standing.CLOSED.value,
        )
    )
    if tx.scalar(others) == 0:
        raise Conflict(
            text("{user} is the last owner of {org}", user=before.user_name, org=before.org_slug),
            hint=text("Make somebody else an owner first: pearl orgs role USER owner"),
        )


def _find_member(tx: Tx, org_id: str, org_slug: str, user: str) -> Membership:
    """Return a membership by login name or id. Only members are searched, so errors reveal nothing of other accounts."""
    row = None
    if LOGIN.fullmatch(user):
        column = users.c.id if is_id(user, "usr") else users.c.name
        row = tx.first(_MEMBERS.where(memberships.c.org_id == org_id, column == user))
    if row is None:
        raise NotFound(
            text("{user} is no member of {org}", user=user[:80], org=org_slug),
            hint=text("Invite new members with: pearl orgs invite USER"),
        )
    return _member(row)


def _find_own(tx: Tx, actor: Actor, org: str) -> Membership:
    for membership in read_memberships(tx, actor.user_id):
        if membership.org_id in actor.orgs and org in (membership.org_id, membership.org_slug):
            return membership
    raise NotFound(text("No organisation {org}", org=org[:80]))


def _one(user_id: str, org_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (memberships.c.user_id == user_id, memberships.c.org_id == org_id)


def _member(row: RowMapping) -> Membership:
    return Membership(
        user_id=row["user_id"],
        org_id=row["org_id"],
        role=OrgRole(row["role"]),
        user_name=row["user_name"],
        display_name=row["display_name"],
        org_slug=row["org_slug"],
        joined_us=row["created_us"],
    )
