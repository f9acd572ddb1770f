"""Routes of maintenance windows and reservations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, read_time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.services.scheduling import PoolWindow, WindowKind, WindowsService, WindowWish
from pearlstreet.store.core import Store
from pearlstreet.tenancy.directory import owner_names
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/scheduling", "scheduling")

Owners = Mapping[tuple[str | None, str | None], str]
"""(organisation id, None) → name."""


class HeldOut(Out):
    """A node of a window; `devices` null: the whole node."""

    node: str
    devices: list[int] | None


class WindowOut(Out):
    """A maintenance window or a reservation: nodes or cards kept free from `from` until `until`."""

    id: str
    kind: WindowKind
    held: list[HeldOut]
    model: str | None
    cards: int | None
    owner: str | None
    """Name of the organisation that a reservation is for; null for maintenance."""
    owner_id: str | None
    org_id: str | None
    from_: Time = Field(alias="from")
    until: Time
    reason: str
    made: Time
    made_by: str | None
    ended: Time | None
    """Time at which the window was ended before `until`."""


class WindowIn(In):
    """A new window: named nodes, the nodes of an engine, or a number of cards of a model."""

    kind: WindowKind
    from_: str | None = Field(None, alias="from", max_length=40, description="Start; by default now")
    until: str = Field(max_length=40)
    nodes: list[Annotated[str, Field(max_length=120)]] = Field(default_factory=list, max_length=10_000)
    engine: str | None = Field(
        None, max_length=80, description="Engine whose nodes, those that the center has now, are meant"
    )
    model: str | None = Field(None, max_length=80)
    cards: int | None = Field(None, ge=1, le=1_000_000)
    org: str | None = Field(
        None, max_length=80, description="Organisation of a reservation, whose jobs may run there"
    )
    reason: str = Field(max_length=500)


def window_out(window: PoolWindow, owners: Owners, *, full: bool) -> dict[str, object]:
    """Return a window as a WindowOut; `full`: with its author."""
    return {
        "id": window.id,
        "kind": window.kind.value,
        "held": [
            {"node": one.node, "devices": None if one.devices is None else list(one.devices)}
            for one in window.held
        ],
        "model": window.model,
        "cards": window.cards,
        "owner": owners[window.org_id, None] or None,
        "owner_id": window.org_id,
        "org_id": window.org_id,
        "from": time_of(window.from_us),
        "until": time_of(window.until_us),
        "reason": window.reason,
        "made": time_of(window.made_us),
        "made_by": window.made_by if full else None,
        "ended": time_of(window.ended_us),
    }


def _owners(store: Store, rows: Sequence[PoolWindow]) -> Owners:
    return owner_names(store, ((row.org_id, None) for row in rows))


def _page(store: Store, rows: Sequence[PoolWindow], limit: int, *, full: bool) -> dict[str, object]:
    owners = _owners(store, rows)
    return page(rows, limit, lambda row: row.id, lambda row: window_out(row, owners, full=full))


@router.get(
    "/windows", tie=Tied.PROJECT, scope="scheduling:read", responses={200: {"model": Page[WindowOut]}}
)
async def list_windows(
    windows: WindowsService,
    actor: Actor = CurrentActor,
    over: Annotated[bool, Query(description="Also windows that have ended")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List maintenance windows and reservations, newest first. Tenants see only their own reservations."""
    before = read_cursor(cursor)
    full = bool(actor.operator_roles)
    return await query(
        lambda: windows.list_windows(actor, over=over, before=before, limit=limit + 1),
        lambda rows: _page(windows.store, rows, limit, full=full),
    )


@router.post(
    "/windows",
    scope="scheduling:write",
    at_center=True,
    location="/scheduling/windows/{id}",
    status_code=201,
    responses={201: {"model": WindowOut}},
)
async def create_window(
    request: Request, body: WindowIn, windows: WindowsService, actor: Actor = CurrentActor
) -> Response:
    """Create a maintenance window or reservation. Owners of jobs that maintenance will stop are notified."""
    wish = WindowWish(
        kind=body.kind,
        until_us=read_time(body.until, "until") or 0,
        from_us=read_time(body.from_, "from"),
        nodes=tuple(body.nodes),
        engine=body.engine,
        model=body.model,
        cards=body.cards,
        org=body.org,
        reason=body.reason,
    )
    return await command(
        request,
        actor,
        lambda s: windows.on(s).make_window(actor, wish),
        lambda made: window_out(made, _owners(windows.store, [made]), full=True),
        status=201,
    )


@router.delete(
    "/windows/{window}", scope="scheduling:write", at_center=True, responses={200: {"model": WindowOut}}
)
async def end_window(
    request: Request, window: str, windows: WindowsService, actor: Actor = CurrentActor
) -> Response:
    """Cancel a window or end it early."""
    return await command(
        request,
        actor,
        lambda s: windows.on(s).end_window(actor, window),
        lambda found: window_out(found, _owners(windows.store, [found]), full=True),
    )
