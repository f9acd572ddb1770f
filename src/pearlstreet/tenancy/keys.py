"""Commands and queries about API keys. A key is shown once; the database stores its hash.

A key can be tied to an organisation or to one of its projects. A tied key creates and sees only keys with the same tie:
an organisation's key does not see the keys of its projects either, so ties need no order. A key cannot create a key with
more scopes or a later end than its own. Revoking a key revokes the keys that it created.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, Problem, Unauthenticated
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import credentials
from pearlstreet.tenancy.authentication import changed, tie_of
from pearlstreet.tenancy.model import Actor, ApiKey, Tie
from pearlstreet.tenancy.names import check_after, check_label
from pearlstreet.tenancy.orgs import find_org, find_project
from pearlstreet.tenancy.scopes import PROJECT_SCOPES, SCOPES
from pearlstreet.tenancy.tables import api_keys, orgs, projects

DAY_S = 86_400
DEFAULT_LIFE_DAYS = 90
MAX_LIFE_DAYS = 366
_KEYS = sa.select(api_keys, orgs.c.slug.label("org_slug"), projects.c.slug.label("project_slug")).select_from(
    api_keys.outerjoin(orgs, orgs.c.id == api_keys.c.org_id).outerjoin(
        projects, projects.c.id == api_keys.c.project_id
    )
)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its credential, which cannot be read again later."""

    key: ApiKey
    credential: str = field(repr=False)


def create_key(
    store: Store,
    actor: Actor,
    label: str = "",
    *,
    scopes: Iterable[str] | None = None,
    org: str | None = None,
    project: str | None = None,
    life_days: float | None = None,
    for_user: str | None = None,
) -> IssuedKey:
    """Create an API key for the actor. Its scopes (None: all of the actor's) and life never exceed the actor's.

    `org` (slug or id) ties the key to an organisation, `org` and `project` (slug or id) to a project; without them a key
    that is created with a tied key gets the same tie. `life_days` None means 90 days, or the remaining life of the key
    that signed the request if that is shorter. Only the center itself may pass `for_user` (an id).
    Raises Forbidden, InvalidInput, NotFound.
    """
    actor.require("keys:own")
    if for_user is not None and not actor.everything:
        raise Forbidden(text("A key can be created only for oneself"))
    label = check_label(label, "label", 100)
    wanted = None if scopes is None else _known(scopes)
    life_us = _life_us(DEFAULT_LIFE_DAYS if life_days is None else life_days)
    if project is not None and org is None and actor.tie is None:
        message = text("A project's key needs its organisation too")
        raise InvalidInput(
            message, problems=[Problem("org", message, hint=text("Add ?org=SLUG, or --org SLUG in the CLI"))]
        )

    def command(tx: Tx) -> IssuedKey:
        _check_still_there(tx, actor)
        tie = _tie(tx, actor, org, project)
        held = actor.all_scopes(tie.org_id if tie else None, tie.project_id if tie else None)
        _check_held(wanted, held, actor, tie)
        return issue(
            tx,
            actor,
            user_id=for_user or actor.user_id,
            label=label,
            scopes=held if wanted is None else wanted,
            tie=tie,
            life_us=_shortened(tx, actor, life_us, asked=life_days is not None),
        )

    return store.write(command)


def issue(
    tx: Tx,
    actor: Actor,
    *,
    user_id: str,
    label: str,
    scopes: frozenset[str],
    tie: Tie | None = None,
    life_us: int = DEFAULT_LIFE_DAYS * DAY_S * US_PER_S,
) -> IssuedKey:
    """Create a key inside a transaction whose caller has checked that the actor may do so."""
    parts, shown = credentials.mint(tx, credentials.KEY)
    org_id, project_id = (tie.org_id, tie.project_id) if tie else (None, None)
    made = ApiKey(
        id=parts.row_id,
        user_id=user_id,
        org_id=org_id,
        project_id=project_id,
        label=label,
        scopes=scopes,
        created_us=tx.now_us,
        expires_us=tx.now_us + life_us,
        revoked_us=None,
        last_used_us=None,
        parent_id=actor.key_id,
        place=tie.name if tie else "",
    )
    tx.execute(
        sa.insert(api_keys).values(
            id=made.id,
            user_id=user_id,
            org_id=org_id,
            project_id=project_id,
            parent_id=actor.key_id,
            label=label,
            scopes=sorted(scopes),
            secret_hash=credentials.digest(parts.secret),
            created_us=made.created_us,
            expires_us=made.expires_us,
        )
    )
    audit.record(
        tx,
        actor=actor.label,
        action="key.create",
        target=made.id,
        org_id=org_id,
        details={"user": user_id, "label": label, "scopes": sorted(scopes), "project": project_id},
    )
    return IssuedKey(made, shown)


def revoke_key(store: Store, actor: Actor, key_id: str) -> ApiKey:
    """Revoke a key and the keys it created, at once; idempotent. Raises NotFound when the actor cannot see the key."""

    def command(tx: Tx) -> ApiKey:
        found = _visible(tx, actor, key_id, "keys:write")
        revoke_with_descendants(tx, actor, [found.id])
        return _visible(tx, actor, key_id, "keys:write")

    return store.write(command)


def revoke_with_descendants(tx: Tx, actor: Actor, key_ids: Sequence[str]) -> None:
    """Revoke these keys and all keys that they created; the caller has checked that the actor may do so."""
    while key_ids:
        live = tx.rows(sa.select(api_keys).where(api_keys.c.id.in_(key_ids), api_keys.c.revoked_us.is_(None)))
        for row in live:
            audit.record(
                tx,
                actor=actor.label,
                action="key.revoke",
                target=row["id"],
                org_id=row["org_id"],
                details={"user": row["user_id"]},
            )
        tx.execute(
            sa.update(api_keys)
            .where(api_keys.c.id.in_([row["id"] for row in live]))
            .values(revoked_us=tx.now_us)
        )
        key_ids = [
            row["id"] for row in tx.rows(sa.select(api_keys.c.id).where(api_keys.c.parent_id.in_(key_ids)))
        ]
    changed(tx)


def get_key(store: Store, actor: Actor, key_id: str) -> ApiKey:
    """Return a key without its secret. Raises NotFound when it does not exist or the actor cannot see it."""
    return store.read(lambda tx: _visible(tx, actor, key_id, "keys:read"))


def list_keys(
    store: Store, actor: Actor, *, everyone: bool = False, after: str | None = None, limit: int = 100
) -> Sequence[ApiKey]:
    """Return the actor's keys, ordered by id; with `everyone`, all keys the actor can see.

    The actor can see the keys of the organisations in which it has `keys:read`, and as an operator all keys of the center.
    A tied key sees only keys with the same tie.
    """
    query = _KEYS.order_by(api_keys.c.id).limit(limit)
    if not everyone:
        actor.require("keys:own")
        query = query.where(api_keys.c.user_id == actor.user_id)
    elif (visible := actor.orgs_with("keys:read")) is not None:
        query = query.where(sa.or_(api_keys.c.user_id == actor.user_id, api_keys.c.org_id.in_(visible)))
    if actor.tie is not None:
        same = api_keys.c.project_id == actor.project_id  # IS NULL for a key of the whole organisation
        query = query.where(api_keys.c.org_id == actor.tie.org_id, same)
    if after is not None:
        query = query.where(api_keys.c.id > check_after(after, "key"))
    return store.read(lambda tx: [_key(row) for row in tx.rows(query)])


def _visible(tx: Tx, actor: Actor, key_id: str, scope: str) -> ApiKey:
    absent = text("No API key {key}", key=key_id[:80])
    row = tx.first(_KEYS.where(api_keys.c.id == key_id)) if is_id(key_id, "key") else None
    if row is None:
        raise NotFound(absent)
    key = _key(row)
    if actor.tie is not None and key.tie != actor.tie:
        raise NotFound(absent)
    if row["user_id"] == actor.user_id:
        actor.require("keys:own")
    elif not actor.may(scope, row["org_id"]):
        raise NotFound(absent)
    return key


def _check_still_there(tx: Tx, actor: Actor) -> None:
    """Raise Unauthenticated if the actor's key was revoked or expired, even while a cached answer still admits it."""
    if actor.key_id is None:
        return
    row = tx.first(sa.select(api_keys).where(api_keys.c.id == actor.key_id))
    if row is None or row["revoked_us"] is not None or row["expires_us"] <= tx.now_us:
        raise Unauthenticated(text("The API key was revoked"))


def _tie(tx: Tx, actor: Actor, org: str | None, project: str | None) -> Tie | None:
    """Return the tie of a new key. Raises NotFound, and Forbidden if it differs from the tie of the actor's key."""
    own = actor.tie
    if org is None and (own is None or project is None):
        return own
    where = org if org is not None else own.org_id if own is not None else ""
    if project is None:
        owner = find_org(tx, actor, where, "keys:own", actor.project_id)
        tie = Tie(owner.id, None, owner.slug)
    else:
        found = find_project(tx, actor, where, project, "keys:own")
        tie = tie_of(tx, found.org_id, found.id)
    if own is not None and tie != own:
        raise Forbidden(
            text("This key is tied to {place} and can create only keys with the same tie", place=own.name),
            hint=text("To create a key with another tie, sign in or use a key that is not tied"),
        )
    return tie


def _shortened(tx: Tx, actor: Actor, life_us: int, *, asked: bool) -> int:
    """Return the life of a new key, in µs, limited to the remaining life of the actor's key.

    Raises Forbidden if a longer life was `asked` for.
    """
    if actor.expires_us is None:
        return life_us
    left_us = actor.expires_us - tx.now_us
    if asked and life_us > left_us:
        raise Forbidden(
            text(
                "A key cannot outlive the key that creates it, which expires {when}",
                when=to_rfc3339(actor.expires_us),
            ),
            hint=text("Leave life_days out: the new key then expires with this one"),
        )
    return min(life_us, left_us)


def _known(scopes: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(scopes)
    unknown = sorted(wanted - SCOPES.keys())
    if unknown or not wanted:
        message = (
            text("Unknown scope {scope}", scope=unknown[0][:60])
            if unknown
            else text("A key needs at least one scope")
        )
        hint = text("Scopes are: {scopes}", scopes=", ".join(SCOPES))
        raise InvalidInput(message, problems=[Problem("scopes", message, hint=hint)])
    return wanted


def _check_held(wanted: frozenset[str] | None, held: frozenset[str], actor: Actor, tie: Tie | None) -> None:
    beyond = sorted((wanted or frozenset()) - held)
    if beyond and tie is not None and tie.project_id is not None and beyond[0] not in PROJECT_SCOPES:
        raise Forbidden(
            text("The scope {scope} applies to a whole organisation, not to a project", scope=beyond[0]),
            hint=text("A project's key can have the scopes: {scopes}", scopes=", ".join(sorted(held))),
        )
    if beyond:
        raise Forbidden(
            text("{user} cannot create a key with the scope {scope}", user=actor.login, scope=beyond[0]),
            hint=text("A key can have only scopes that its creator has"),
        )


def _life_us(life_days: float) -> int:
    if not 0 < life_days <= MAX_LIFE_DAYS:
        message = text("An API key is valid for more than 0 and at most {days} days", days=MAX_LIFE_DAYS)
        raise InvalidInput(message, problems=[Problem("life_days", message)])
    return int(life_days * DAY_S * US_PER_S)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        user_id=row["user_id"],
        org_id=row["org_id"],
        label=row["label"],
        scopes=frozenset(row["scopes"]),
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        last_used_us=row["last_used_us"],
        parent_id=row["parent_id"],
        project_id=row["project_id"],
        place="/".join(slug for slug in (row["org_slug"], row["project_slug"]) if slug),
    )
