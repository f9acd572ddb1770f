"""Commands on stored files: deletes outputs and uploads, pins outputs, and deletes expired outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import plural, text
from pearlstreet.compute.jobs.model import ENDED
from pearlstreet.compute.jobs.tables import artefacts, jobs, uploads
from pearlstreet.storage.levels import change_level
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.transitions import record_transition
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.notices import dedup
from pearlstreet.tenancy.notices.tables import notice_dedup
from pearlstreet.tenancy.orgs import DEFAULT_PROJECT
from pearlstreet.tenancy.tables import projects

DAY_US = 86_400 * US_PER_S
WARN_DAYS = (7, 1)
"""Days before the deletion of outputs at which the job's owner is notified, if they are kept for more than twice as long."""
BATCH = 500


def delete_artefact(store: Store, actor: Actor, artefact_id: str) -> Row:
    """Delete one output permanently and return its row. Raises NotFound, Forbidden, Conflict for a pinned one."""

    def command(tx: Tx) -> Row:
        row = _artefact_row(tx, actor, artefact_id)
        if row["pinned"]:
            raise Conflict(
                text("{path} is pinned", path=row["path"]),
                hint=text("Unpin it first: pearl storage pin --undo"),
            )
        _delete(tx, [row])
        details = {"job": row["job_id"], "path": row["path"], "size_bytes": row["size_bytes"]}
        audit.record(
            tx,
            actor=actor.label,
            action="artefact.delete",
            target=artefact_id,
            org_id=row["org_id"],
            details=details,
        )
        return row

    return store.write(command)


def pin_artefact(store: Store, actor: Actor, artefact_id: str, *, pinned: bool) -> Row:
    """Pin one output, so that it is kept regardless of retention, or unpin it. Raises NotFound, Forbidden."""

    def command(tx: Tx) -> Row:
        row = _artefact_row(tx, actor, artefact_id)
        tx.execute(sa.update(artefacts).where(artefacts.c.id == artefact_id).values(pinned=pinned))
        return {**row, "pinned": pinned}

    return store.write(command)


def delete_upload(store: Store, actor: Actor, upload_id: str) -> Row:
    """Delete an upload permanently and return its row. Raises NotFound, Forbidden, Conflict while a job needs it."""
    absent = text("There is no upload {upload}", upload=upload_id[:80])

    def command(tx: Tx) -> Row:
        row = tx.first(sa.select(uploads).where(uploads.c.id == upload_id))
        if row is None:
            raise NotFound(absent)
        actor.require("jobs:write", row["org_id"], row["project_id"] or "", missing=absent)
        needs = (
            (jobs.c.org_id == row["org_id"])
            & jobs.c.state.not_in([state.value for state in ENDED])
            & sa.cast(jobs.c.spec, sa.Text).contains(row["id"], autoescape=True)
        )
        job = tx.scalar(sa.select(jobs.c.id).where(needs).limit(1))
        if job is not None:
            raise Conflict(
                text("Job {job} needs the upload {name}", job=job, name=row["name"]),
                hint=text("Delete it when the job has ended, or cancel the job"),
            )
        tx.execute(sa.delete(uploads).where(uploads.c.id == upload_id))
        is_default = (projects.c.org_id == row["org_id"]) & (projects.c.slug == DEFAULT_PROJECT)
        project_id = row["project_id"] or tx.scalar(sa.select(projects.c.id).where(is_default))
        if project_id is not None:
            change_level(tx, row["org_id"], project_id, -row["size_bytes"])
        details = {"name": row["name"], "size_bytes": row["size_bytes"]}
        audit.record(
            tx,
            actor=actor.label,
            action="upload.delete",
            target=upload_id,
            org_id=row["org_id"],
            details=details,
        )
        return row

    return store.write(command)


def drop_expired(store: Store) -> int:
    """Delete expired outputs, record that in the timelines of their jobs, and return the number of outputs."""
    over = artefacts.c.expires_us <= store.clock.now_us()
    query = _with_project().where(over, artefacts.c.pinned.is_(False)).order_by(artefacts.c.expires_us)
    if not store.read(lambda tx: tx.rows(query.limit(1))):
        return 0
    return store.write(lambda tx: _drop(tx, tx.rows(query.limit(BATCH))))


def warn_of_expiry(store: Store) -> None:
    """Notify owners of jobs whose outputs will be deleted soon, once per job and number of days."""
    store.write(_warn)


def _warn(tx: Tx) -> None:
    for days in WARN_DAYS:
        soon = (
            artefacts.c.expires_us > tx.now_us,
            artefacts.c.expires_us <= tx.now_us + days * DAY_US,
            artefacts.c.expires_us - artefacts.c.at_us > 2 * days * DAY_US,
            artefacts.c.pinned.is_(False),
        )
        reference = sa.literal("outputs.expiring ").concat(artefacts.c.job_id).concat(f" {days}")
        query = (
            sa.select(
                artefacts.c.job_id,
                sa.func.count().label("files"),
                sa.func.min(artefacts.c.expires_us).label("first_us"),
            )
            .where(*soon, ~sa.exists().where(notice_dedup.c.reference == reference))
            .group_by(artefacts.c.job_id)
            .limit(BATCH)
        )
        for row in tx.rows(query):
            if dedup.mark_notified(tx, f"outputs.expiring {row['job_id']} {days}"):
                _emit(tx, row["job_id"], int(row["files"]), int(row["first_us"]))


def _emit(tx: Tx, job_id: str, files: int, expires_us: int) -> None:
    job = tx.first(sa.select(jobs).where(jobs.c.id == job_id))
    if job is None:
        return
    payload = {
        "user": job["owner"].split(" ")[0],
        "job": job_id,
        "name": job["name"],
        "files": files,
        "expires": to_rfc3339(expires_us)[:10],
    }
    outbox.emit(tx, "outputs.expiring", payload, org_id=job["org_id"])


def _drop(tx: Tx, rows: Sequence[Row]) -> int:
    _delete(tx, rows)
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["job_id"]] += 1
    for job_id, count in counts.items():
        state = tx.scalar(sa.select(jobs.c.state).where(jobs.c.id == job_id))
        if state is not None:
            reason = plural(
                "The retention time is over: {count} output is deleted",
                "The retention time is over: {count} outputs are deleted",
                count=count,
            )
            record_transition(tx, job_id, state, state, "outputs_expired", reason)
    return len(rows)


def _delete(tx: Tx, rows: Sequence[Row]) -> None:
    """Delete the rows; the sweep deletes their blobs once no row names them."""
    tx.execute(sa.delete(artefacts).where(artefacts.c.id.in_([row["id"] for row in rows])))
    freed: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        freed[row["org_id"], row["project_id"]] += row["size_bytes"]
    for (org_id, project_id), size in freed.items():
        change_level(tx, org_id, project_id, -size)


def _with_project() -> sa.Select[tuple[object, ...]]:
    return sa.select(artefacts, jobs.c.project_id).join(jobs, jobs.c.id == artefacts.c.job_id)


def _artefact_row(tx: Tx, actor: Actor, artefact_id: str) -> Row:
    absent = text("There is no artefact {artefact}", artefact=artefact_id[:80])
    row = tx.first(_with_project().where(artefacts.c.id == artefact_id))
    if row is None:
        raise NotFound(absent)
    actor.require("jobs:write", row["org_id"], row["project_id"], missing=absent)
    return dict(row)
