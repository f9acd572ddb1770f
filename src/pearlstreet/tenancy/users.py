"""Commands and queries about accounts and the duties of operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, Forbidden, NotFound, TooMany
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.transitions import record_transition, transition
from pearlstreet.tenancy import credentials
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.grants import require_account, require_duty, require_role
from pearlstreet.tenancy.members import insert_member, operator_conflict, read_memberships
from pearlstreet.tenancy.model import (
    USER_STATES,
    Actor,
    Membership,
    Organisation,
    Standing,
    StandingEvent,
    User,
    VisibleUser,
)
from pearlstreet.tenancy.names import LOGIN, check_after, check_email, check_label, check_login
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.tables import memberships, password_links, sessions, users

LINK_LIFE_US = 72 * 3600 * US_PER_S
DAY_US = 86_400 * US_PER_S


@dataclass(frozen=True, slots=True)
class Invited:
    """A new user and the one-time token for setting the password (valid for 72 h, shown once)."""

    user: User
    token: str = field(repr=False)


def create_user(
    store: Store,
    actor: Actor,
    name: str,
    *,
    display_name: str = "",
    email: str | None = None,
    org: str | None = None,
    role: OrgRole = OrgRole.MEMBER,
    operator_role: OperatorRole | None = None,
    per_day_max: int = 0,
) -> Invited:
    """Create an account: a member of `org`, an operator, or (security operators only) neither.

    `per_day_max` limits the accounts that owners create in `org` in 24 h (0: no limit). Raises Conflict for a name that
    is taken, Forbidden for rights that the actor's key lacks, TooMany.
    """
    name, email = check_login(name), check_email(email)
    display_name = check_label(display_name or name, "display_name", 200)
    if org is None or operator_role is not None:
        actor.require("users:write")

    def command(tx: Tx) -> Invited:
        owner = find_org(tx, actor, org, "users:write") if org is not None else None
        org_id = owner.id if owner is not None else None
        if org_id is not None and operator_role is not None:
            raise operator_conflict()
        require_duty(actor, operator_role)
        if owner is not None:
            require_role(actor, owner.id, role)
            _check_rate(tx, actor, owner, per_day_max)
        made = insert_user(tx, actor, name, display_name, email, operator_role, org_id=org_id)
        if org_id is not None:
            insert_member(tx, actor, made.id, org_id, role)
        return Invited(made, new_link(tx, made.id))

    return store.write(command)


def insert_user(
    tx: Tx,
    actor: Actor,
    name: str,
    display_name: str,
    email: str | None,
    operator_role: OperatorRole | None,
    *,
    org_id: str | None = None,
) -> User:
    """Create a user inside a transaction whose caller has checked the right to do so. Raises Conflict for a taken name.

    `org_id` is the organisation in which the account is created; it is the user's first default organisation.
    """
    if tx.scalar(sa.select(users.c.id).where(users.c.name == name)):
        raise Conflict(text("The login name {name} is taken", name=name))
    made = User(tx.new_id("usr"), name, display_name, email, Standing.ACTIVE, operator_role, tx.now_us)
    tx.execute(
        sa.insert(users).values(
            id=made.id,
            name=name,
            display_name=display_name,
            email=email,
            state=made.state,
            operator_role=operator_role,
            password_hash=None,
            created_us=tx.now_us,
            default_org_id=org_id,
            origin_org_id=org_id,
        )
    )
    record_transition(tx, made.id, None, made.state, "create")
    details = {"name": name, "operator_role": operator_role}
    audit.record(tx, actor=actor.label, action="user.create", target=made.id, details=details)
    return made


def get_user(store: Store, actor: Actor, user: str) -> VisibleUser:
    """Return a user by id or login name: the actor, a member of a shared organisation, or (operators) any user.

    Raises NotFound for an unknown user and for one that the actor cannot see.
    """
    return store.read(lambda tx: _shown(actor, _visible(tx, actor, user)))


def list_memberships_of(store: Store, actor: Actor, user: str) -> Sequence[Membership]:
    """Return the memberships of a user in organisations that the actor sees. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Membership]:
        visible = actor.orgs_with("users:read")
        found = read_memberships(tx, _visible(tx, actor, user).id)
        return [one for one in found if visible is None or one.org_id in visible]

    return store.read(query)


def list_users(
    store: Store, actor: Actor, *, after: str | None = None, limit: int = 100, containing: str = ""
) -> Sequence[VisibleUser]:
    """Return the users that the actor sees, ordered by id, after the id `after`.

    `containing` must occur in the login name or display name.
    """
    query = sa.select(users).order_by(users.c.id).limit(limit)
    visible = actor.orgs_with("users:read")
    if visible is not None:
        fellows = sa.select(memberships.c.user_id).where(memberships.c.org_id.in_(visible))
        query = query.where(sa.or_(users.c.id == actor.user_id, users.c.id.in_(fellows)))
    if containing:
        either = (users.c.name, users.c.display_name)
        query = query.where(sa.or_(*(column.icontains(containing, autoescape=True) for column in either)))
    if after is not None:
        query = query.where(users.c.id > check_after(after, "usr"))
    return store.read(lambda tx: [_shown(actor, as_user(row)) for row in tx.rows(query)])


def set_operator_role(store: Store, actor: Actor, user: str, role: OperatorRole | None) -> User:
    """Set or remove the operator role of an account. Raises Conflict when it has another role or is a member."""
    actor.require("users:write")

    def command(tx: Tx) -> User:
        found = _visible(tx, actor, user)
        _not_oneself(actor, found)
        if role is not None:
            require_duty(actor, role)
        if role is not None and found.operator_role not in (None, role):
            raise Conflict(
                text(
                    "{user} has the operator role {role} already, and an account can have only one",
                    user=found.name,
                    role=found.operator_role,
                ),
                hint=text("Give the role to another account, or remove the present role first"),
            )
        if role is not None and tx.scalar(sa.select(memberships.c.org_id).where(_of_user(found.id))):
            raise operator_conflict()
        tx.execute(sa.update(users).where(users.c.id == found.id).values(operator_role=role))
        details = {"before": found.operator_role, "after": role}
        audit.record(tx, actor=actor.label, action="user.operator_role", target=found.id, details=details)
        changed(tx)
        return _find(tx, found.id)

    return store.write(command)


def suspend_user(store: Store, actor: Actor, user: str, reason: str = "") -> User:
    """Suspend an account until `resume_user`: its sessions end and its keys are refused at once."""
    return _move(store, actor, user, StandingEvent.SUSPEND, reason)


def resume_user(store: Store, actor: Actor, user: str, reason: str = "") -> User:
    """Resume a suspended account."""
    return _move(store, actor, user, StandingEvent.RESUME, reason)


def close_user(store: Store, actor: Actor, user: str, reason: str = "") -> User:
    """Close an account permanently; its login name is not reused."""
    return _move(store, actor, user, StandingEvent.CLOSE, reason)


def issue_password_link(store: Store, actor: Actor, user: str) -> Invited:
    """Return a new one-time token for setting the user's password; earlier tokens become invalid."""
    actor.require("users:write")

    def command(tx: Tx) -> Invited:
        found = _visible(tx, actor, user)
        require_account(actor, found, read_memberships(tx, found.id))
        audit.record(tx, actor=actor.label, action="user.password_link", target=found.id)
        return Invited(found, new_link(tx, found.id))

    return store.write(command)


def new_link(tx: Tx, user_id: str) -> str:
    """Create a one-time token for setting a user's password, and delete earlier ones. Returns its text."""
    tx.execute(sa.delete(password_links).where(password_links.c.user_id == user_id))
    parts, shown = credentials.mint(tx, credentials.LINK)
    tx.execute(
        sa.insert(password_links).values(
            id=parts.row_id,
            user_id=user_id,
            secret_hash=credentials.digest(parts.secret),
            expires_us=tx.now_us + LINK_LIFE_US,
        )
    )
    return shown


def as_user(row: RowMapping) -> User:
    """Return the `User` of a row of `users`."""
    role = row["operator_role"]
    return User(
        row["id"],
        row["name"],
        row["display_name"],
        row["email"],
        Standing(row["state"]),
        OperatorRole(role) if role else None,
        row["created_us"],
    )


def _move(store: Store, actor: Actor, user: str, event: StandingEvent, reason: str) -> User:
    actor.require("users:write")
    reason = check_label(reason, "reason", 500)

    def command(tx: Tx) -> User:
        found = _visible(tx, actor, user)
        _not_oneself(actor, found)
        if event is StandingEvent.RESUME:
            require_account(actor, found, read_memberships(tx, found.id))
        why = text("{reason}", reason=reason) if reason else None
        transition(tx, users, found.id, USER_STATES, found.state, event, reason=why)
        if event is not StandingEvent.RESUME:
            tx.execute(sa.delete(sessions).where(sessions.c.user_id == found.id))
            tx.execute(sa.delete(password_links).where(password_links.c.user_id == found.id))
        audit.record(
            tx,
            actor=actor.label,
            action=f"user.{event.value}",
            target=found.id,
            details={"reason": reason},
        )
        changed(tx)
        return _find(tx, found.id)

    return store.write(command)


def _check_rate(tx: Tx, actor: Actor, owner: Organisation, per_day_max: int) -> None:
    """Raise TooMany when the organisation reached its limit of new accounts in 24 h. Operators are not limited."""
    if not per_day_max or actor.may("users:write"):
        return
    recent = (users.c.origin_org_id == owner.id) & (users.c.created_us > tx.now_us - DAY_US)
    row = tx.first(
        sa.select(sa.func.count().label("count"), sa.func.min(users.c.created_us).label("oldest_us")).where(
            recent
        )
    )
    if row is not None and row["count"] >= per_day_max:
        raise TooMany(
            text(
                "{org} got {count} new accounts in 24 hours, which is the limit",
                org=owner.slug,
                count=row["count"],
            ),
            hint=text("Invite people who have an account already, or ask an operator of the center"),
            retry_after_s=max(1, (row["oldest_us"] + DAY_US - tx.now_us) // US_PER_S + 1),
        )


def _not_oneself(actor: Actor, found: User) -> None:
    if found.id == actor.user_id:
        raise Forbidden(text("You cannot change the state or operator role of your own account"))


def _find(tx: Tx, user: str) -> User:
    row = None
    if is_id(user, "usr") or LOGIN.fullmatch(user):
        column = users.c.id if is_id(user, "usr") else users.c.name
        row = tx.first(sa.select(users).where(column == user))
    if row is None:
        raise NotFound(text("No user {user}", user=user[:80]))
    return as_user(row)


def _visible(tx: Tx, actor: Actor, user: str) -> User:
    found = _find(tx, user)
    if found.id == actor.user_id or actor.may("users:read"):
        return found
    fellow = tx.scalar(
        sa.select(memberships.c.org_id).where(
            _of_user(found.id), memberships.c.org_id.in_(actor.orgs_with("users:read") or ())
        )
    )
    if fellow is None:
        raise NotFound(text("No user {user}", user=user[:80]))
    return found


def _shown(actor: Actor, user: User) -> VisibleUser:
    """Return the user without the fields that only the user and operators may see."""
    if user.id != actor.user_id and not actor.may("users:read"):
        return VisibleUser(user.id, user.name, user.display_name)
    return VisibleUser(
        user.id,
        user.name,
        user.display_name,
        user.email,
        user.state,
        user.operator_role,
        user.created_us,
    )


def _of_user(user_id: str) -> sa.ColumnElement[bool]:
    return memberships.c.user_id == user_id
