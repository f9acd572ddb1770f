"""Authentication of every request: the `Actor` of a credential, from a cache or from the database.

The cache keeps an actor for at most `KEPT_S`. Every change of users, roles, keys or sessions sends the hint `TOPIC`, which
empties the cache after the commit, so a revoked key is refused at once; other processes notice within `KEPT_S`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Unauthenticated
from pearlstreet.base.text import Text, text
from pearlstreet.store.core import Hints, Store, Tx
from pearlstreet.tenancy import credentials
from pearlstreet.tenancy.credentials import Credential
from pearlstreet.tenancy.model import LEFT, Actor, Standing, Tie
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.tables import api_keys, memberships, orgs, projects, sessions, users

TOPIC = "tenancy"
KEPT_S = 5.0
KEPT_MAX = 10_000
IDLE_US = 3600 * US_PER_S
"""Idle limit of a session in µs; a session that was unused for longer has ended."""
KEY_TOUCH_US = 3600 * US_PER_S
SESSION_TOUCH_US = 60 * US_PER_S
"""Shortest time in µs between two writes of a session's `last_seen_us`; `KEY_TOUCH_US` is that of a key's `last_used_us`."""


@dataclass(frozen=True, slots=True)
class _Known:
    actor: Actor
    expires_us: int
    until_s: float


class _Cache:
    """Actors of one store by digest of their credential. Refused credentials are never cached."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, _Known] = {}
        self._generation = 0

    def get(self, digest: bytes) -> _Known | None:
        return self._known.get(digest)

    @property
    def generation(self) -> int:
        return self._generation

    def put(self, digest: bytes, known: _Known, generation: int) -> None:
        """Cache an actor, unless the cache was emptied since `generation` was read."""
        with self._lock:
            if generation != self._generation:
                return
            while len(self._known) >= KEPT_MAX:
                del self._known[next(iter(self._known))]
            self._known[digest] = known

    def drop_all(self) -> None:
        with self._lock:
            self._generation += 1
            self._known = {}


_caches: WeakKeyDictionary[Hints, _Cache] = WeakKeyDictionary()
_caches_lock = threading.Lock()


def _cache_of(store: Store) -> _Cache:
    cache = _caches.get(store.hints)
    if cache is None:
        with _caches_lock:
            cache = _caches.get(store.hints)
            if cache is None:
                cache = _caches[store.hints] = _Cache()
                store.hints.listen(TOPIC, cache.drop_all)
    return cache


def authenticate(store: Store, credential: str, *, peer: str | None = None) -> Actor:
    """Return the actor of an API key or session. Raises Unauthenticated, alike for an unknown id and a wrong secret.

    `peer` (the caller's address) has no effect.
    """
    kept = remembered(store, credential)
    if kept is not None:
        return kept
    cache, digest = _cache_of(store), _digest(credential)
    parsed = credentials.parse(credential)
    if parsed is None or parsed.kind not in (credentials.KEY, credentials.SESSION):
        raise _refused()
    generation = cache.generation
    actor, expires_us, touch = store.read(lambda tx: _look_up(tx, parsed))
    cache.put(digest, _Known(actor, expires_us, store.clock.monotonic_s() + KEPT_S), generation)
    if touch:
        # The request does not wait for this write. If it fails, the next request writes again.
        replace(store, claim=None).submit(lambda tx: _touch(tx, parsed))
    return actor


def remembered(store: Store, credential: str) -> Actor | None:
    """Return the cached actor of a credential, or None. Reads no database, so an event loop may call it."""
    known = _cache_of(store).get(_digest(credential))
    if known and known.until_s > store.clock.monotonic_s() and known.expires_us > store.clock.now_us():
        return known.actor
    return None


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "replace")).digest()


def changed(tx: Tx) -> None:
    """Empty the cache of actors after the commit, because an account's rights changed."""
    tx.hint(TOPIC)


def _look_up(tx: Tx, parsed: Credential) -> tuple[Actor, int, bool]:
    if parsed.kind == credentials.KEY:
        row = _row(tx, api_keys, parsed)
        actor = key_actor(tx, row)
        used_us = row["last_used_us"]
        return actor, row["expires_us"], used_us is None or used_us <= tx.now_us - KEY_TOUCH_US
    row = _row(tx, sessions, parsed)
    if row["last_seen_us"] <= tx.now_us - IDLE_US:
        raise _refused(text("The session has ended; sign in again"))
    actor = _actor(tx, row, label=f"{row['user_name']} {parsed.row_id}", session_id=parsed.row_id)
    return actor, row["expires_us"], row["last_seen_us"] <= tx.now_us - SESSION_TOUCH_US


def _row(tx: Tx, table: sa.Table, parsed: Credential) -> RowMapping:
    row = tx.first(
        sa.select(
            table,
            users.c.name.label("user_name"),
            users.c.state.label("user_state"),
            users.c.operator_role,
            users.c.default_org_id,
        )
        .join(users, users.c.id == table.c.user_id)
        .where(table.c.id == parsed.row_id)
    )
    if row is None or not credentials.is_right(parsed.secret, row["secret_hash"]):
        raise _refused()
    if row["expires_us"] <= tx.now_us:
        is_key = table is api_keys
        raise _refused(
            text("The API key has expired; create another")
            if is_key
            else text("The session has ended; sign in again")
        )
    if row["user_state"] != Standing.ACTIVE:
        raise _refused(text("This account is suspended or closed"))
    return row


def key_actor(tx: Tx, row: RowMapping) -> Actor:
    """Return the actor of an `api_keys` row joined with its user. Raises Unauthenticated when the key was revoked."""
    if row["revoked_us"] is not None:
        raise _refused(text("The API key was revoked"))
    actor = _actor(tx, row, label=f"{row['user_name']} {row['id']}", key_id=row["id"])
    actor = replace(actor, scopes=frozenset(row["scopes"]), expires_us=row["expires_us"])
    if row["org_id"] is None:
        return actor
    return replace(
        actor,
        orgs={org: role for org, role in actor.orgs.items() if org == row["org_id"]},
        operator_roles=frozenset(),
        tie=tie_of(tx, row["org_id"], row["project_id"]),
        default_org=row["org_id"] if row["org_id"] in actor.orgs else None,
    )


def tie_of(tx: Tx, org_id: str, project_id: str | None) -> Tie:
    """Return a tie with the name that messages show, such as `acme/research`."""
    slug = tx.scalar(sa.select(orgs.c.slug).where(orgs.c.id == org_id)) or org_id
    if project_id is None:
        return Tie(org_id, None, slug)
    mine = (projects.c.id == project_id) & (projects.c.org_id == org_id)
    project = tx.scalar(sa.select(projects.c.slug).where(mine)) or project_id
    return Tie(org_id, project_id, f"{slug}/{project}")


def find_person(tx: Tx, name: str) -> Actor | None:
    """Return the actor of an account by its login name, with all its rights; None if it is suspended, closed or unknown."""
    found = sa.select(users.c.id.label("user_id"), users.c.operator_role, users.c.default_org_id)
    row = tx.first(found.where(users.c.name == name, users.c.state == Standing.ACTIVE.value))
    try:
        return None if row is None else _actor(tx, row, label=name)
    except Unauthenticated:
        return None


def _actor(tx: Tx, row: RowMapping, **names: Any) -> Actor:
    operator = row["operator_role"]
    members = standing(tx, row["user_id"])
    slugs = {member["org_id"]: member["slug"] for member in members}
    return Actor(
        user_id=row["user_id"],
        orgs={member["org_id"]: OrgRole(member["role"]) for member in members},
        operator_roles=frozenset({OperatorRole(operator)} if operator else ()),
        suspended=frozenset(m["org_id"] for m in members if m["state"] == Standing.SUSPENDED),
        org_slugs=slugs,
        default_org=row["default_org_id"] if row["default_org_id"] in slugs else None,
        **names,
    )


def standing(tx: Tx, user_id: str) -> Sequence[RowMapping]:
    """Return the open organisations of a user: org_id, role, state, slug.

    Raises Unauthenticated for an account that was created in a closed organisation and has no other.
    """
    rows = tx.rows(
        sa.select(memberships.c.org_id, memberships.c.role, orgs.c.state, orgs.c.slug, users.c.origin_org_id)
        .join(orgs, orgs.c.id == memberships.c.org_id)
        .join(users, users.c.id == memberships.c.user_id)
        .where(memberships.c.user_id == user_id)
        .order_by(orgs.c.slug)
    )
    open_ones = [row for row in rows if row["state"] not in LEFT]
    if not open_ones:
        # An account that was created elsewhere and only joined a closed organisation may still sign in.
        for row in rows:
            if row["org_id"] == row["origin_org_id"]:
                raise Unauthenticated(text("The organisation {org} is closed", org=row["slug"]))
    return open_ones


def _touch(tx: Tx, parsed: Credential) -> None:
    if parsed.kind == credentials.KEY:
        tx.execute(sa.update(api_keys).where(api_keys.c.id == parsed.row_id).values(last_used_us=tx.now_us))
    else:
        tx.execute(sa.update(sessions).where(sessions.c.id == parsed.row_id).values(last_seen_us=tx.now_us))


def _refused(message: Text | None = None) -> Unauthenticated:
    return Unauthenticated(
        message or text("The API key or session is unknown"),
        hint=text("Create a key with: pearl keys create; or sign in with: pearl login"),
    )
