"""Uploaded files: stored as blobs, named by an upload id, visible only to their organisation.

A running upload reserves quota for the size that its sender announced, or for what has arrived; the reservation ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, PaymentRequired, Problem, TooLarge
from pearlstreet.base.money import Money
from pearlstreet.base.paths import path_problem
from pearlstreet.base.text import text
from pearlstreet.base.units import format_bytes
from pearlstreet.compute.jobs.runtime import JobsSettings, Runtime
from pearlstreet.compute.jobs.tables import uploads
from pearlstreet.ledger.funds import available
from pearlstreet.objects.model import Blob
from pearlstreet.storage.levels import change_level
from pearlstreet.storage.quota import refuse_beyond, refuse_over_quota, storage_limits, tightest
from pearlstreet.storage.upload_reservations import STEP_BYTES, UploadReservation
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import DEFAULT_PROJECT, find_project, refuse_closed
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.tables import projects


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Organisation and project of an upload, and its maximum size."""

    org_id: str
    project_id: str
    """Project whose storage the upload counts towards."""
    named: str | None
    """Project named by the sender or tied to its key; None: all projects of the organisation may use the upload."""
    bytes_max: int


def find_place(
    store: Store,
    actor: Actor,
    runtime: Runtime,
    org: str,
    project: str | None,
    size_bytes: int | None,
    reservation: UploadReservation,
) -> UploadPlace:
    """Check an upload before any byte is read, and reserve `size_bytes`, the announced size.

    Raises NotFound, Forbidden, TooLarge, Conflict if it does not fit, TooMany for too many running uploads, PaymentRequired if
    the organisation is over its credit limit.
    """
    most = runtime.settings.upload_bytes_max
    if size_bytes is not None and size_bytes > most:
        raise TooLarge(text("The file is larger than {limit}", limit=format_bytes(most)))

    def query(tx: Tx) -> UploadPlace:
        named = project or actor.project_id
        found = find_project(tx, actor, org, named or DEFAULT_PROJECT, "jobs:write")
        runtime.uploads.refuse_many(found.org_id)
        reserved = runtime.uploads.beside(reservation, found.org_id)
        limit = tightest(storage_limits(tx, runtime.settings, found.org_id, found.id, reserved))
        refuse_beyond(limit, size_bytes or 0)
        _refuse_debtor(tx, found.org_id, org)
        return UploadPlace(found.org_id, found.id, found.id if named else None, most)

    with runtime.uploads.lock:
        place = store.read(query)
        reservation.org_id, reservation.project_id = place.org_id, place.project_id
        reservation.size_bytes = size_bytes or 0
        running = runtime.uploads.running(place.org_id, place.project_id)
    store.read(lambda tx: _refuse_many_kept(tx, runtime.settings, place, running))
    return place


def check_name(name: str) -> str:
    """Return the name if it is a plain file name without a folder. Raises InvalidInput."""
    if "/" in name or name == "." or path_problem(name) is not None:
        message = text("{name} is not a file name", name=ascii(name[:80]))
        raise InvalidInput(
            message, problems=[Problem("name", message, hint=text("Use a plain name such as data.csv"))]
        )
    return name


def _refuse_debtor(tx: Tx, org_id: str, org: str) -> None:
    """Raise PaymentRequired if the organisation is over its credit limit; stored files remain and are billed."""
    left = available(tx, org_id)
    if left < Money(0):
        raise PaymentRequired(
            text(
                "{org} is ¥{amount} over what it may owe; no more files are stored",
                org=org,
                amount=str(-left),
            ),
            hint=text("Ask the center's operator for a top-up of at least ¥{missing}", missing=str(-left)),
        )


def _refuse_many_kept(tx: Tx, settings: JobsSettings, place: UploadPlace, running: int) -> None:
    """Raise Conflict if the project has too many uploads, including `running` ones; empty files use no storage quota."""
    most = settings.project_uploads_max
    if not most:
        return
    is_default = (projects.c.id == place.project_id) & (projects.c.slug == DEFAULT_PROJECT)
    of_project = uploads.c.project_id == place.project_id
    if tx.scalar(sa.select(projects.c.id).where(is_default)) is not None:
        of_project |= uploads.c.project_id.is_(None)
    query = (
        sa.select(sa.func.count()).select_from(uploads).where(uploads.c.org_id == place.org_id, of_project)
    )
    if (tx.scalar(query) or 0) + running > most:
        raise Conflict(
            text("A project keeps at most {most} uploads", most=most),
            hint=text(
                "Delete uploads that are not needed (pearl storage), or send many files as one archive"
            ),
        )


def keep_bytes(
    store: Store,
    runtime: Runtime,
    chunks: Iterable[bytes],
    name: str,
    place: UploadPlace,
    reservation: UploadReservation,
) -> Blob:
    """Store a stream as a blob. Raises TooLarge, Conflict above a quota, Unavailable; then nothing is stored."""
    arriving = _reserve_arriving(store, runtime, chunks, place, reservation)
    return runtime.blobs.keep(arriving, name, limit_bytes=place.bytes_max)


def _reserve_arriving(
    store: Store,
    runtime: Runtime,
    chunks: Iterable[bytes],
    place: UploadPlace,
    reservation: UploadReservation,
) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if reservation.size_bytes < size <= place.bytes_max:
            _extend(store, runtime, place, reservation, size)
        yield chunk


def _extend(
    store: Store, runtime: Runtime, place: UploadPlace, reservation: UploadReservation, size_bytes: int
) -> None:
    """Reserve what has arrived plus one step. Raises Conflict if what has arrived does not fit."""
    with runtime.uploads.lock:
        reserved = runtime.uploads.beside(reservation, place.org_id)
        limit = store.read(
            lambda tx: tightest(
                storage_limits(tx, runtime.settings, place.org_id, place.project_id, reserved)
            )
        )
        refuse_beyond(limit, size_bytes)
        ahead = min(size_bytes + STEP_BYTES, place.bytes_max)
        reservation.size_bytes = ahead if limit is None else min(ahead, limit.left)


def record_upload(
    store: Store, actor: Actor, runtime: Runtime, place: UploadPlace, name: str, blob: Blob
) -> Row:
    """Record a stored blob as an upload of the project. Raises Conflict if other files filled the quota meanwhile."""
    org_id = place.org_id
    actor.require("jobs:write", org_id, place.project_id)

    def command(tx: Tx) -> Row:
        refuse_closed(tx, org_id)
        refuse_over_quota(tx, runtime.settings, org_id, place.project_id, blob.size_bytes)
        row = {
            "id": tx.new_id("upl"),
            "org_id": org_id,
            "name": name,
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "owner": actor.label,
            "at_us": tx.now_us,
            "project_id": place.named,
        }
        tx.execute(sa.insert(uploads).values(**row))
        change_level(tx, org_id, place.project_id, blob.size_bytes)
        return row

    return store.write(command)


def find_upload(store: Store, actor: Actor, upload_id: str) -> Row:
    """Return one upload. Raises NotFound."""
    absent = text("There is no upload {upload}", upload=upload_id[:80])

    def query(tx: Tx) -> Row:
        row = tx.first(sa.select(uploads).where(uploads.c.id == upload_id))
        if row is None:
            raise NotFound(absent)
        actor.require("jobs:read", row["org_id"], row["project_id"] or "", missing=absent)
        return row

    return store.read(query)


def list_uploads(
    store: Store, actor: Actor, org: str, *, before: str | None = None, limit: int = 100
) -> Sequence[Row]:
    """Return the uploads of an organisation, newest first."""

    def query(tx: Tx) -> Sequence[Row]:
        found = sa.select(uploads).where(visible_rows(tx, actor, "jobs:read", uploads, org=org))
        if before is not None:
            found = found.where(uploads.c.id < before)
        return tx.rows(found.order_by(uploads.c.id.desc()).limit(limit))

    return store.read(query)
