"""API keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.door import Asker, Door, center_of, command, query
from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.tenancy import keys as service
from pearlstreet.tenancy.keys import DEFAULT_LIFE_DAYS, IssuedKey
from pearlstreet.tenancy.model import Actor, ApiKey

door = Door("/keys", "keys")


class KeyOut(Out):
    """What is known of a key: never its secret."""

    id: str
    user_id: str
    org_id: str | None
    label: str
    scopes: list[str]
    created: Time
    expires: Time
    revoked: Time | None
    last_used: Time | None
    parent_id: str | None


class IssuedKeyOut(KeyOut):
    """A fresh key. `key` is the whole credential, shown this once."""

    key: str


class KeyIn(In):
    """A new key. `scopes` null: all of the maker's."""

    label: str = Field("", max_length=200)
    scopes: list[str] | None = Field(None, max_length=100)
    org: str | None = Field(None, max_length=80, description="Works in this organisation only")
    life_days: float = DEFAULT_LIFE_DAYS


def key_out(key: ApiKey) -> dict[str, Any]:
    """A key as JSON."""
    return {
        "id": key.id,
        "user_id": key.user_id,
        "org_id": key.org_id,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "created": time_of(key.created_us),
        "expires": time_of(key.expires_us),
        "revoked": time_of(key.revoked_us),
        "last_used": time_of(key.last_used_us),
        "parent_id": key.parent_id,
    }


def _issued(found: IssuedKey) -> dict[str, Any]:
    return key_out(found.key) | {"key": found.credential}


@door.post("", scope="keys:own", status_code=201, responses={201: {"model": IssuedKeyOut}})
async def create(request: Request, body: KeyIn, actor: Actor = Asker) -> Response:
    """Make a key for oneself; it is shown once."""
    return await command(
        request,
        actor,
        lambda store: service.create_key(
            store, actor, body.label, scopes=body.scopes, org=body.org, life_days=body.life_days
        ),
        _issued,
        status=201,
    )


@door.get("", scope="keys:own", responses={200: {"model": Page[KeyOut]}})
async def keys(
    request: Request,
    actor: Actor = Asker,
    everyone: Annotated[bool, Query(description="Also other people's, where one may see them")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """One's own keys, or all that one may see; oldest first."""
    store, after = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: service.list_keys(store, actor, everyone=everyone, after=after, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, key_out),
    )


@door.get("/{key}", signed_in=True, responses={200: {"model": KeyOut}})
async def one(request: Request, key: str, actor: Actor = Asker) -> Response:
    """What is known of a key."""
    store = center_of(request).store
    return await query(lambda: service.get_key(store, actor, key), key_out)


@door.delete("/{key}", signed_in=True, responses={200: {"model": KeyOut}})
async def revoke(request: Request, key: str, actor: Actor = Asker) -> Response:
    """End a key at once, and every key it made."""
    return await command(request, actor, lambda store: service.revoke_key(store, actor, key), key_out)
