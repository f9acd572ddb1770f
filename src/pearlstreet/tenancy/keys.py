"""Commands and queries about API keys. A key is shown once; the database keeps its hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, Problem
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import credentials
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.model import Actor, ApiKey
from pearlstreet.tenancy.names import check_after, check_label
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.scopes import SCOPES
from pearlstreet.tenancy.tables import api_keys

DAY_S = 86_400
DEFAULT_LIFE_DAYS = 90
MAX_LIFE_DAYS = 366


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A fresh key: the only moment in which `credential` exists in readable form."""

    key: ApiKey
    credential: str = field(repr=False)


def create_key(
    store: Store,
    actor: Actor,
    label: str = "",
    *,
    scopes: Iterable[str] | None = None,
    org: str | None = None,
    life_days: float = DEFAULT_LIFE_DAYS,
    for_user: str | None = None,
) -> IssuedKey:
    """Make a key for the actor. `scopes` (None: all of theirs) never exceed the actor's; `org` ties it to one.

    `for_user` (an id) is for the center itself only. Raises Forbidden, InvalidInput.
    """
    actor.require("keys:own")
    if for_user is not None and not actor.everything:
        raise Forbidden(text("A key can be created only for oneself"))
    label = check_label(label, "label", 100)
    wanted = None if scopes is None else _known(scopes)
    life_us = _life_us(life_days)

    def command(tx: Tx) -> IssuedKey:
        org_id = find_org(tx, actor, org).id if org is not None else None
        held = actor.all_scopes(org_id)
        _check_held(wanted, held, actor)
        return issue(
            tx,
            actor,
            user_id=for_user or actor.user_id,
            label=label,
            scopes=held if wanted is None else wanted,
            org_id=org_id,
            life_us=life_us,
        )

    return store.write(command)


def issue(
    tx: Tx,
    actor: Actor,
    *,
    user_id: str,
    label: str,
    scopes: frozenset[str],
    org_id: str | None = None,
    life_us: int = DEFAULT_LIFE_DAYS * DAY_S * US_PER_S,
) -> IssuedKey:
    """Write a key inside a command that has already decided that it may be."""
    parts, shown = credentials.mint(tx, credentials.KEY)
    made = ApiKey(
        id=parts.row_id,
        user_id=user_id,
        org_id=org_id,
        label=label,
        scopes=scopes,
        created_us=tx.now_us,
        expires_us=tx.now_us + life_us,
        revoked_us=None,
        last_used_us=None,
        parent_id=actor.key_id,
    )
    tx.execute(
        sa.insert(api_keys).values(
            id=made.id,
            user_id=user_id,
            org_id=org_id,
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
        details={"user": user_id, "label": label, "scopes": sorted(scopes)},
    )
    return IssuedKey(made, shown)


def revoke_key(store: Store, actor: Actor, key_id: str) -> ApiKey:
    """End a key at once; doing it again changes nothing. Raises NotFound when absent or not the actor's business."""

    def command(tx: Tx) -> ApiKey:
        found = _visible(tx, actor, key_id, "keys:write")
        revoke_with_descendants(tx, actor, [found.id])
        return _visible(tx, actor, key_id, "keys:write")

    return store.write(command)


def revoke_with_descendants(tx: Tx, actor: Actor, key_ids: Sequence[str]) -> None:
    """End these keys and every key that they made, inside a command that has decided that it may be."""
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
    """What is known of a key. Raises NotFound when absent or not the actor's business."""
    return store.read(lambda tx: _visible(tx, actor, key_id, "keys:read"))


def list_keys(
    store: Store, actor: Actor, *, everyone: bool = False, after: str | None = None, limit: int = 100
) -> Sequence[ApiKey]:
    """The actor's keys by id; `everyone`: all those they may see (their organisations', or the center's)."""
    query = sa.select(api_keys).order_by(api_keys.c.id).limit(limit)
    if not everyone:
        actor.require("keys:own")
        query = query.where(api_keys.c.user_id == actor.user_id)
    elif (visible := actor.orgs_with("keys:read")) is not None:
        query = query.where(sa.or_(api_keys.c.user_id == actor.user_id, api_keys.c.org_id.in_(visible)))
    if after is not None:
        query = query.where(api_keys.c.id > check_after(after, "key"))
    return store.read(lambda tx: [_key(row) for row in tx.rows(query)])


def _visible(tx: Tx, actor: Actor, key_id: str, scope: str) -> ApiKey:
    absent = text("No API key {key}", key=key_id[:80])
    row = tx.first(sa.select(api_keys).where(api_keys.c.id == key_id)) if is_id(key_id, "key") else None
    if row is None:
        raise NotFound(absent)
    if row["user_id"] == actor.user_id:
        actor.require("keys:own")
    elif not actor.may(scope, row["org_id"]):
        raise NotFound(absent)
    return _key(row)


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


def _check_held(wanted: frozenset[str] | None, held: frozenset[str], actor: Actor) -> None:
    beyond = sorted((wanted or frozenset()) - held)
    if beyond:
        raise Forbidden(
            text("{actor} cannot give a key the scope {scope}", actor=actor.label, scope=beyond[0]),
            hint=text("A key can carry only scopes of its creator"),
        )


def _life_us(life_days: float) -> int:
    if not 0 < life_days <= MAX_LIFE_DAYS:
        message = text("A key lives more than 0 and at most {days} days", days=MAX_LIFE_DAYS)
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
    )
