"""Files tenants bring: kept as blobs, named by an upload id, seen only by their organisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.paths import path_problem
from pearlstreet.base.text import text
from pearlstreet.compute.jobs.blobs import Blob, Blobs
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import uploads
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org, refuse_closed


def check_may_upload(store: Store, actor: Actor, org: str) -> str:
    """The organisation's id, before any byte is read. Raises NotFound, Forbidden."""
    return store.read(lambda tx: find_org(tx, actor, org, "jobs:write")).id


def check_name(name: str) -> str:
    """A file name without a folder. Raises InvalidInput."""
    if "/" in name or name == "." or path_problem(name) is not None:
        message = text("{name} is not a file name", name=ascii(name[:80]))
        raise InvalidInput(
            message, problems=[Problem("name", message, hint=text("Use a plain name such as data.csv"))]
        )
    return name


def keep_bytes(runtime: Runtime, chunks: Iterable[bytes], name: str) -> Blob:
    """Keep a stream as a blob. Raises TooLarge, Unavailable; then nothing is kept."""
    return Blobs(runtime.folders.blobs).keep(chunks, name, limit_bytes=runtime.settings.upload_bytes_max)


def record_upload(store: Store, actor: Actor, org_id: str, name: str, blob: Blob) -> Row:
    """Note a kept blob as an upload of the organisation."""
    actor.require("jobs:write", org_id)

    def command(tx: Tx) -> Row:
        refuse_closed(tx, org_id)
        row = {
            "id": tx.new_id("upl"),
            "org_id": org_id,
            "name": name,
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "owner": actor.label,
            "at_us": tx.now_us,
        }
        tx.execute(sa.insert(uploads).values(**row))
        return row

    return store.write(command)


def find_upload(store: Store, actor: Actor, upload_id: str) -> Row:
    """One upload. Raises NotFound."""
    absent = text("There is no upload {upload}", upload=upload_id[:80])

    def query(tx: Tx) -> Row:
        row = tx.first(sa.select(uploads).where(uploads.c.id == upload_id))
        if row is None:
            raise NotFound(absent)
        actor.require("jobs:read", row["org_id"], missing=absent)
        return row

    return store.read(query)


def list_uploads(
    store: Store, actor: Actor, org: str, *, before: str | None = None, limit: int = 100
) -> Sequence[Row]:
    """Uploads of an organisation, newest first."""

    def query(tx: Tx) -> Sequence[Row]:
        owner = find_org(tx, actor, org, "jobs:read")
        found = sa.select(uploads).where(uploads.c.org_id == owner.id)
        if before is not None:
            found = found.where(uploads.c.id < before)
        return tx.rows(found.order_by(uploads.c.id.desc()).limit(limit))

    return store.read(query)
