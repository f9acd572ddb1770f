"""Sign-in with a password, sessions, and setting a password.

A password is hashed between two short transactions: the first counts the attempt, the second stores its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Forbidden, NotFound, Unauthenticated
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import credentials, lockout, passwords
from pearlstreet.tenancy.authentication import IDLE_US, changed, standing
from pearlstreet.tenancy.model import Actor, Session, Standing, User
from pearlstreet.tenancy.names import LOGIN
from pearlstreet.tenancy.tables import oidc_flows, password_links, sessions, users
from pearlstreet.tenancy.users import as_user

LIFE_US = 12 * 3600 * US_PER_S
PEER_MAX = 64


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session with its credential, which cannot be read again later."""

    session: Session
    user: User
    credential: str = field(repr=False)


def sign_in(store: Store, name: str, password: str, *, peer: str) -> SignedIn:
    """Start a session of 12 h (1 h when idle). Raises Unauthenticated, or TooMany while a delay runs."""
    once, store = store, replace(store, claim=None)
    row = store.write(lambda tx: _attempt(tx, name, peer))
    usable = row is not None and row["state"] == Standing.ACTIVE
    right = passwords.is_password(password, row["password_hash"] if row is not None and usable else None)
    if row is None or not right:
        raise Unauthenticated(
            text("The login name or the password is wrong"),
            hint=text(
                "After {count} failures, each further failure makes you wait longer",
                count=lockout.BY_USER.free,
            ),
        )
    return once.write(lambda tx: _succeed(tx, row, name, peer))


def sign_out(store: Store, actor: Actor) -> None:
    """End the session that the request used; has no effect on an API key."""
    if actor.session_id is not None:
        end_session(store, actor, actor.session_id)


def end_session(store: Store, actor: Actor, session_id: str) -> None:
    """End one of the actor's sessions; with `users:write`, any session. Raises NotFound."""

    def command(tx: Tx) -> None:
        row = None
        if is_id(session_id, "ses"):
            row = tx.first(sa.select(sessions).where(sessions.c.id == session_id))
        if row is None or not (row["user_id"] == actor.user_id or actor.may("users:write")):
            raise NotFound(text("No session {session}", session=session_id[:80]))
        tx.execute(sa.delete(sessions).where(sessions.c.id == session_id))
        audit.record(tx, actor=actor.label, action="session.end", target=session_id)
        changed(tx)

    store.write(command)


def list_sessions(store: Store, actor: Actor, user_id: str | None = None) -> Sequence[Session]:
    """Return the live sessions of the actor, newest first; with `users:write`, of any user."""
    if user_id not in (None, actor.user_id):
        actor.require("users:write")

    def query(tx: Tx) -> Sequence[Session]:
        mine = sa.select(sessions).where(
            sessions.c.user_id == (user_id or actor.user_id),
            sessions.c.expires_us > tx.now_us,
            sessions.c.last_seen_us > tx.now_us - IDLE_US,
        )
        return [_session(row) for row in tx.rows(mine.order_by(sessions.c.id.desc()))]

    return store.read(query)


def set_password(store: Store, token: str, password: str) -> User:
    """Set a password with a one-time token and end all sessions of the user. Raises Unauthenticated, InvalidInput."""
    parsed = credentials.parse(token)
    if parsed is None or parsed.kind != credentials.LINK:
        raise _stale_link()
    found = store.read(lambda tx: _link_owner(tx, parsed.row_id, parsed.secret))
    hashed = passwords.hash_password(passwords.check_password(password, found.name), store.rng)

    def command(tx: Tx) -> User:
        owner = _link_owner(tx, parsed.row_id, parsed.secret)
        _keep(tx, owner, hashed, keep_session=None)
        audit.record(tx, actor=owner.name, action="user.password_set", target=owner.id)
        return owner

    return store.write(command)


def change_password(store: Store, actor: Actor, current: str, new: str, *, peer: str) -> User:
    """Replace the actor's own password and end its other sessions. Raises Forbidden for an API key."""
    if actor.session_id is None:
        raise Forbidden(text("A password can be changed only in a session, not with an API key"))
    found = store.read(lambda tx: tx.first(sa.select(users).where(users.c.id == actor.user_id)))
    if found is None:
        raise NotFound(text("No user {user}", user=actor.user_id))
    unclaimed = replace(store, claim=None)
    unclaimed.write(lambda tx: _attempt(tx, found["name"], peer))
    if not passwords.is_password(current, found["password_hash"]):
        raise Forbidden(text("The current password is wrong"))
    hashed = passwords.hash_password(passwords.check_password(new, found["name"]), store.rng)

    def command(tx: Tx) -> User:
        owner = as_user(found)
        lockout.forgive(tx, owner.name, peer)
        _keep(tx, owner, hashed, keep_session=actor.session_id)
        audit.record(tx, actor=actor.label, action="user.password_change", target=owner.id)
        return owner

    return store.write(command)


def start_session(tx: Tx, user: User, peer: str, *, how: str) -> SignedIn:
    """Write a session inside a command that has decided who signed in; `how` goes into the audit log.

    Raises Unauthenticated for a member of closed organisations only.
    """
    standing(tx, user.id)
    parts, shown = credentials.mint(tx, credentials.SESSION)
    made = Session(parts.row_id, user.id, tx.now_us, tx.now_us + LIFE_US, tx.now_us, peer[:PEER_MAX])
    tx.execute(
        sa.insert(sessions).values(
            id=made.id,
            user_id=user.id,
            secret_hash=credentials.digest(parts.secret),
            peer=made.peer,
            created_us=made.created_us,
            expires_us=made.expires_us,
            last_seen_us=made.last_seen_us,
        )
    )
    details = {"how": how, "peer": made.peer}
    audit.record(tx, actor=user.name, action="session.start", target=made.id, details=details)
    return SignedIn(made, user, shown)


def forget_old(tx: Tx) -> int:
    """Delete ended sessions, links, sign-in flows and old failures; returns the number of rows deleted."""
    over = sa.or_(sessions.c.expires_us <= tx.now_us, sessions.c.last_seen_us <= tx.now_us - IDLE_US)
    gone = tx.execute(sa.delete(sessions).where(over)).rowcount
    gone += tx.execute(sa.delete(password_links).where(password_links.c.expires_us <= tx.now_us)).rowcount
    gone += tx.execute(
        sa.delete(oidc_flows).where(oidc_flows.c.created_us <= tx.now_us - 3600 * US_PER_S)
    ).rowcount
    return gone + lockout.forget_old(tx)


def _attempt(tx: Tx, name: str, peer: str) -> RowMapping | None:
    row = tx.first(sa.select(users).where(users.c.name == name)) if LOGIN.fullmatch(name) else None
    if lockout.reserve(tx, name, peer) and row is not None:
        details = {"peer": peer[:PEER_MAX], "failures": lockout.BY_USER.free}
        audit.record(tx, actor="center", action="session.delays", target=row["id"], details=details)
    return row


def _succeed(tx: Tx, seen: RowMapping, name: str, peer: str) -> SignedIn:
    row = tx.first(sa.select(users).where(users.c.id == seen["id"]))
    same = row is not None and row["password_hash"] == seen["password_hash"]
    if row is None or not same or row["state"] != Standing.ACTIVE:
        raise Unauthenticated(text("The account was changed meanwhile; sign in again"))
    lockout.forgive(tx, name, peer)
    return start_session(tx, as_user(row), peer, how="password")


def _keep(tx: Tx, owner: User, hashed: str, *, keep_session: str | None) -> None:
    tx.execute(sa.update(users).where(users.c.id == owner.id).values(password_hash=hashed))
    others = sa.delete(sessions).where(sessions.c.user_id == owner.id)
    tx.execute(others if keep_session is None else others.where(sessions.c.id != keep_session))
    tx.execute(sa.delete(password_links).where(password_links.c.user_id == owner.id))
    changed(tx)


def _link_owner(tx: Tx, link_id: str, secret: str) -> User:
    row = tx.first(
        sa.select(password_links.c.secret_hash, password_links.c.expires_us, users)
        .join(users, users.c.id == password_links.c.user_id)
        .where(password_links.c.id == link_id)
    )
    right = row is not None and credentials.is_right(secret, row["secret_hash"])
    if row is None or not right or row["expires_us"] <= tx.now_us or row["state"] != Standing.ACTIVE:
        raise _stale_link()
    return as_user(row)


def _stale_link() -> Unauthenticated:
    return Unauthenticated(
        text("The one-time token is wrong, used or expired"),
        hint=text("Ask a security operator for another"),
    )


def _session(row: RowMapping) -> Session:
    return Session(
        row["id"],
        row["user_id"],
        row["created_us"],
        row["expires_us"],
        row["last_seen_us"],
        row["peer"],
    )
