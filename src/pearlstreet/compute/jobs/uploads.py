"""Files tenants bring: kept as blobs, named by an upload id, seen only by their organisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, PaymentRequired, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.paths import path_problem
from pearlstreet.base.text import text
from pearlstreet.compute.jobs.blobs import Blob, Blobs
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.levels import change_level
from pearlstreet.compute.jobs.storage.quota import refuse_over_quota, storage_limits, tightest
from pearlstreet.compute.jobs.tables import uploads
from pearlstreet.ledger.funds import available
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import DEFAULT_PROJECT, find_project, refuse_closed
from pearlstreet.tenancy.reach import visible_rows


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where an upload goes, and how many bytes fit there."""

    org_id: str
    project_id: str
    """The project that the upload counts for."""
    named: str | None
    """The same where the sender named it or its key is tied to it; None: any project of the organisation may use it."""
    bytes_max: int


def find_place(
    store: Store, actor: Actor, runtime: Runtime, org: str, project: str | None, size_bytes: int | None
) -> UploadPlace:
    """Check before any byte is read. `size_bytes`: what the sender says it sends.

    Raises NotFound, Forbidden, Conflict when it does not fit, PaymentRequired when the organisation owes more than it may.
    """

    def query(tx: Tx) -> UploadPlace:
        named = project or actor.project_id
        found = find_project(tx, actor, org, named or DEFAULT_PROJECT, "jobs:write")
        refuse_over_quota(tx, runtime.settings, found.org_id, found.id, size_bytes or 0)
        _refuse_debtor(tx, found.org_id, org)
        limit = tightest(storage_limits(tx, runtime.settings, found.org_id, found.id))
        most = runtime.settings.upload_bytes_max
        left = most if limit is None else min(most, limit.left)
        return UploadPlace(found.org_id, found.id, found.id if named else None, left)

    return store.read(query)


def check_name(name: str) -> str:
    """A file name without a folder. Raises InvalidInput."""
    if "/" in name or name == "." or path_problem(name) is not None:
        message = text("{name} is not a file name", name=ascii(name[:80]))
        raise InvalidInput(
            message, problems=[Problem("name", message, hint=text("Use a plain name such as data.csv"))]
        )
    return name


def _refuse_debtor(tx: Tx, org_id: str, org: str) -> None:
    """What is stored stays and is billed; more is not taken from an organisation that is over its credit limit."""
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


def keep_bytes(runtime: Runtime, chunks: Iterable[bytes], name: str, place: UploadPlace) -> Blob:
    """Keep a stream as a blob. Raises TooLarge, Unavailable; then nothing is kept."""
    return Blobs(runtime.folders.blobs).keep(chunks, name, limit_bytes=place.bytes_max)


def record_upload(
    store: Store, actor: Actor, runtime: Runtime, place: UploadPlace, name: str, blob: Blob
) -> Row:
    """Note a kept blob as an upload of the project. Raises Conflict when others have filled the quota meanwhile."""
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
    """One upload. Raises NotFound."""
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
    """Uploads of an organisation, newest first."""

    def query(tx: Tx) -> Sequence[Row]:
        found = sa.select(uploads).where(visible_rows(tx, actor, "jobs:read", uploads, org=org))
        if before is not None:
            found = found.where(uploads.c.id < before)
        return tx.rows(found.order_by(uploads.c.id.desc()).limit(limit))

    return store.read(query)
