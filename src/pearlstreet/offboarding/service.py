"""Commands and queries about offboarding: close a tenant, see the progress, and export an organisation's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.money import Money
from pearlstreet.base.text import plural, text
from pearlstreet.compute.jobs.model import ENDED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.offboarding.archive import write_archive
from pearlstreet.offboarding.model import Archive, Closing, Phase
from pearlstreet.offboarding.packing import in_parts
from pearlstreet.offboarding.tables import closings
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.transitions import transition
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.model import LEFT, ORG_STATES, Actor, StandingEvent
from pearlstreet.tenancy.names import check_label
from pearlstreet.tenancy.orgs import find_org, find_org_for_move
from pearlstreet.tenancy.tables import orgs

TOPIC = "closing"
FOLDER = "exports"
"""Name of the folder, below the data folder, with the archives of closed tenants."""


def close_org(
    store: Store, actor: Actor, org: str, *, cancel_jobs: bool = False, reason: str = ""
) -> Closing:
    """Start the offboarding of a tenant; a loop then stops its jobs, invoices, archives and erases. Idempotent.

    Its members lose access at once. Raises Conflict while it has jobs that have not ended, unless `cancel_jobs`.
    """
    actor.require("orgs:write")
    reason = check_label(reason, "reason", 500)

    def command(tx: Tx) -> Closing:
        found = find_org_for_move(tx, actor, org)
        if found.state in LEFT:
            if cancel_jobs:
                tx.execute(sa.update(closings).where(closings.c.id == found.id).values(cancel_jobs=True))
            return _read(tx, found.id)
        count = tx.scalar(sa.select(sa.func.count()).select_from(jobs).where(*alive(found.id)))
        if count and not cancel_jobs:
            raise Conflict(
                plural(
                    "{org} has {count} job that has not ended",
                    "{org} has {count} jobs that have not ended",
                    org=found.slug,
                    count=count,
                ),
                hint=text("Wait until they end, or cancel them with --cancel-jobs"),
            )
        why = text("{reason}", reason=reason) if reason else None
        transition(tx, orgs, found.id, ORG_STATES, found.state, StandingEvent.CLOSE, reason=why)
        tx.execute(
            sa.insert(closings).values(
                id=found.id,
                phase=Phase.STOPPING.value,
                asked_by=actor.label[:80],
                asked_us=tx.now_us,
                reason=reason,
                cancel_jobs=cancel_jobs,
                invoices=[],
            )
        )
        audit.record(
            tx,
            actor=actor.label,
            action="org.close",
            target=found.id,
            org_id=found.id,
            details={"reason": reason, "cancel_jobs": cancel_jobs},
        )
        changed(tx)
        tx.hint(TOPIC)
        return _read(tx, found.id)

    return store.write(command)


def get_closing(store: Store, actor: Actor, org: str) -> Closing:
    """Return the progress of a tenant's offboarding. Raises NotFound for one that is not closing."""
    actor.require("orgs:write")
    return store.read(lambda tx: _read(tx, find_org_for_move(tx, actor, org).id))


def open_closings(tx: Tx) -> list[Closing]:
    """Return the closings that are not complete, oldest first."""
    query = _CLOSINGS.where(closings.c.phase != Phase.CLOSED.value).order_by(closings.c.asked_us)
    return [_closing(row) for row in tx.rows(query)]


def kept_archives(tx: Tx, before_us: int) -> list[Closing]:
    """Return the closings that were complete before `before_us` and still have their archive."""
    query = _CLOSINGS.where(closings.c.archive.is_not(None), closings.c.closed_us < before_us)
    return [_closing(row) for row in tx.rows(query)]


def export_org(store: Store, actor: Actor, runtime: Runtime, org: str) -> tuple[str, Iterator[bytes]]:
    """Return a file name and the bytes of an organisation's archive; for a closed one, the archive written at closing.

    Raises NotFound, Forbidden, and Conflict when the archive of a closed organisation is not written yet or was deleted.
    """

    def command(tx: Tx) -> tuple[str, str, Closing | None]:
        found = find_org(tx, actor, org, "export:read")
        ended = _read(tx, found.id) if found.state in LEFT else None
        if ended is not None and ended.archive is None:
            raise Conflict(
                text("There is no archive of {org} now", org=found.slug),
                hint=text("The archive is written while the organisation closes, and kept for some weeks"),
            )
        audit.record(tx, actor=actor.label, action="org.export", target=found.id, org_id=found.id)
        return found.id, found.slug, ended

    org_id, slug, ended = store.write(command)
    name = f"{slug}-export.tar.gz"
    if ended is not None and ended.archive is not None:
        return name, _file(runtime.folders.root / FOLDER / ended.archive.name)
    return name, in_parts(write_archive(store, runtime, org_id))


def alive(org_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the SQL conditions of an organisation's jobs that have not ended; an array counts once."""
    over = [state.value for state in ENDED]
    return (jobs.c.org_id == org_id, jobs.c.array_id.is_(None), jobs.c.state.not_in(over))


_CLOSINGS = sa.select(closings, orgs.c.slug).join_from(closings, orgs, orgs.c.id == closings.c.id)


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _read(tx: Tx, org_id: str) -> Closing:
    row = tx.first(_CLOSINGS.where(closings.c.id == org_id))
    if row is None:
        raise NotFound(text("The organisation is not being closed"))
    return _closing(row)


def _closing(row: Row) -> Closing:
    known: dict[str, Any] = {
        name: row[name] for name in ("slug", "asked_by", "asked_us", "reason", "cancel_jobs", "invoices")
    }
    balance = row["balance_micro"]
    archive = None
    if row["archive"] is not None:
        archive = Archive(row["archive"], row["archive_bytes"], row["archive_sha256"])
    return Closing(
        org_id=row["id"],
        phase=Phase(row["phase"]),
        balance=None if balance is None else Money(balance),
        archive=archive,
        closed_us=row["closed_us"],
        **known,
    )
