"""Routes of API keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.tenancy import keys as service
from pearlstreet.tenancy.keys import IssuedKey
from pearlstreet.tenancy.model import Actor, ApiKey

router = SecuredRouter("/keys", "keys")


class KeyOut(Out):
    """An API key without its secret. `place`: the organisation or project it is tied to, such as `acme/research`."""

    id: str
    user_id: str
    org_id: str | None
    project_id: str | None
    place: str | None
    label: str
    scopes: list[str]
    created: Time
    expires: Time
    revoked: Time | None
    last_used: Time | None
    parent_id: str | None


class IssuedKeyOut(KeyOut):
    """A new key. `key` is the complete credential, shown only once."""

    key: str


class KeyIn(In):
    """A new key. `scopes` null: all of the caller's. `life_days` null: 90, or the rest of the calling key's lifetime."""

    label: str = Field("", max_length=200)
    scopes: list[str] | None = Field(None, max_length=100)
    org: str | None = Field(None, max_length=80, description="Tie the key to this organisation")
    project: str | None = Field(
        None, max_length=80, description="Tie the key to this project of the organisation"
    )
    life_days: float | None = None


def key_out(key: ApiKey) -> dict[str, object]:
    """Return a key as a KeyOut."""
    return {
        "id": key.id,
        "user_id": key.user_id,
        "org_id": key.org_id,
        "project_id": key.project_id,
        "place": key.place or None,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "created": time_of(key.created_us),
        "expires": time_of(key.expires_us),
        "revoked": time_of(key.revoked_us),
        "last_used": time_of(key.last_used_us),
        "parent_id": key.parent_id,
    }


def _rendered_for(actor: Actor) -> Callable[[ApiKey], dict[str, object]]:
    """Return a renderer that hides the parents of other members' keys, since a parent need not belong to the organisation."""

    def render(key: ApiKey) -> dict[str, object]:
        shows_parent = key.user_id == actor.user_id or actor.may("keys:read")
        return key_out(key if shows_parent else replace(key, parent_id=None))

    return render


def _issued(found: IssuedKey) -> dict[str, object]:
    return key_out(found.key) | {"key": found.credential}


@router.post(
    "",
    tie=Tied.PROJECT,
    scope="keys:own",
    location="/keys/{id}",
    status_code=201,
    responses={201: {"model": IssuedKeyOut}},
)
async def create_key(request: Request, body: KeyIn, actor: Actor = CurrentActor) -> Response:
    """Create a key for the caller. Its secret is shown only once."""
    return await command(
        request,
        actor,
        lambda store: service.create_key(
            store,
            actor,
            body.label,
            scopes=body.scopes,
            org=body.org,
            project=body.project,
            life_days=body.life_days,
        ),
        _issued,
        status=201,
    )


@router.get("", tie=Tied.PROJECT, scope="keys:own", responses={200: {"model": Page[KeyOut]}})
async def list_keys(
    request: Request,
    actor: Actor = CurrentActor,
    everyone: Annotated[bool, Query(description="Also keys of other users that the caller may see")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the caller's keys, or all that they may see, oldest first."""
    store, after = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: service.list_keys(store, actor, everyone=everyone, after=after, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, _rendered_for(actor)),
    )


@router.get("/{key}", tie=Tied.PROJECT, signed_in=True, responses={200: {"model": KeyOut}})
async def get_key(request: Request, key: str, actor: Actor = CurrentActor) -> Response:
    """Get a key."""
    store = center_of(request).store
    return await query(lambda: service.get_key(store, actor, key), _rendered_for(actor))


@router.delete("/{key}", tie=Tied.PROJECT, signed_in=True, responses={200: {"model": KeyOut}})
async def revoke_key(request: Request, key: str, actor: Actor = CurrentActor) -> Response:
    """Revoke a key and all keys created with it."""
    return await command(
        request, actor, lambda store: service.revoke_key(store, actor, key), _rendered_for(actor)
    )
