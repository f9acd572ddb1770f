"""Backups of the center."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from pearlstreet.api.door import Asker, Door, center_of, command, query
from pearlstreet.api.models import Out, Time, time_of
from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.center import BackupFile
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

door = Door("/backups", "backups")


class BackupOut(Out):
    """A backup in the center's own folder; `pearl restore` reads it."""

    name: str
    size_bytes: int
    at: Time


class Backups(Out):
    """Backups, newest first."""

    items: list[BackupOut]


def _backup(found: BackupFile) -> dict[str, Any]:
    return {"name": found.name, "size_bytes": found.size_bytes, "at": time_of(found.at_us)}


@door.post("", scope="backup:write", status_code=201, responses={201: {"model": BackupOut}})
async def make(request: Request, actor: Actor = Asker) -> Response:
    """Make a backup while the center runs; the key file is not part of it."""
    actor.require("backup:write")
    center = center_of(request)
    if center.backup is None:
        raise Unavailable(text("This center makes no backups itself"))
    make_backup = center.backup
    stamp = to_rfc3339(center.store.clock.now_us())[:19].replace(":", "").replace("-", "")

    def work(store: Store) -> BackupFile:
        with center.backing_up:
            store.not_done_before()  # else the file of a repeated request would be made, and then nobody's
            return record_made(store, make_backup(f"pearl-{stamp}Z"))

    def record_made(store: Store, made: BackupFile) -> BackupFile:
        details = {"bytes": made.size_bytes}

        def record(tx: Tx) -> BackupFile:
            audit.record(tx, actor=actor.label, action="backup.make", target=made.name, details=details)
            return made

        return store.write(record)

    return await command(request, actor, work, _backup, status=201)


@door.get("", scope="backup:write", responses={200: {"model": Backups}})
async def backups(request: Request, actor: Actor = Asker) -> Response:
    """Backups in the center's own folder, newest first."""
    actor.require("backup:write")
    found = center_of(request).backups
    return await query(
        lambda: list(found()) if found is not None else [],
        lambda rows: {"items": [_backup(row) for row in rows]},
    )
