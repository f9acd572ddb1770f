"""Routes of the center's backups."""

from __future__ import annotations

from fastapi import Request, Response

from pearlstreet import center as service
from pearlstreet.api.models import Out, Time, time_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, query
from pearlstreet.center import BackupFile
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/backups", "backups")


class BackupOut(Out):
    """A backup in the center's backup folder; `pearl restore` restores it."""

    name: str
    size_bytes: int
    at: Time


class Backups(Out):
    """Backups, newest first."""

    items: list[BackupOut]


def _backup(found: BackupFile) -> dict[str, object]:
    return {"name": found.name, "size_bytes": found.size_bytes, "at": time_of(found.at_us)}


@router.post(
    "", scope="backup:write", location="/backups", status_code=201, responses={201: {"model": BackupOut}}
)
async def create_backup(request: Request, actor: Actor = CurrentActor) -> Response:
    """Create a backup while the center runs. It does not contain the key file."""
    center = center_of(request)
    return await command(
        request, actor, lambda store: service.make_backup(center, store, actor), _backup, status=201
    )


@router.get("", scope="backup:write", responses={200: {"model": Backups}})
async def list_backups(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the backups in the center's backup folder, newest first."""
    center = center_of(request)
    return await query(
        lambda: service.list_backups(center, actor), lambda rows: {"items": [_backup(row) for row in rows]}
    )
