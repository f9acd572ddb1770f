"""The service of stored files: uploads, artefacts, and how long they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.compute.jobs import uploads
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage import files, overview, retention_rules
from pearlstreet.compute.jobs.storage.overview import ProjectStorage
from pearlstreet.compute.jobs.storage.retention_rules import DAYS_MAX, RetentionRule
from pearlstreet.compute.jobs.uploads import UploadPlace, check_name
from pearlstreet.compute.jobs.views import find_artefact
from pearlstreet.objects.model import Blob
from pearlstreet.storage.upload_reservations import UploadReservation
from pearlstreet.store.core import Row
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

__all__ = ["DAYS_MAX", "ProjectStorage", "RetentionRule", "StorageService", "UploadPlace", "check_name"]


@dataclass(frozen=True, slots=True)
class StorageService(StoreService):
    """Commands and queries about the files that a project stores."""

    runtime: Runtime

    def begin_upload(self) -> AbstractContextManager[UploadReservation]:
        """Return the reservation of one upload, which ends with the block."""
        return self.runtime.uploads.begin()

    def find_place(
        self,
        actor: Actor,
        org: str,
        project: str | None,
        size_bytes: int | None,
        reservation: UploadReservation,
    ) -> UploadPlace:
        """Check an upload before any byte is read, and reserve `size_bytes`, the announced size.

        Raises NotFound, Forbidden, TooLarge, Conflict if it does not fit, TooMany for too many running uploads, PaymentRequired
        if the organisation is over its credit limit.
        """
        return uploads.find_place(self.store, actor, self.runtime, org, project, size_bytes, reservation)

    def keep_bytes(
        self, chunks: Iterable[bytes], name: str, place: UploadPlace, reservation: UploadReservation
    ) -> Blob:
        """Store a stream as a blob. Raises TooLarge, Conflict above a quota, Unavailable; then nothing is stored."""
        return uploads.keep_bytes(self.store, self.runtime, chunks, name, place, reservation)

    def record_upload(self, actor: Actor, place: UploadPlace, name: str, blob: Blob) -> Row:
        """Record a stored blob as an upload of the project. Raises Conflict if other files filled the quota meanwhile."""
        return uploads.record_upload(self.store, actor, self.runtime, place, name, blob)

    def find_upload(self, actor: Actor, upload_id: str) -> Row:
        """Return one upload. Raises NotFound."""
        return uploads.find_upload(self.store, actor, upload_id)

    def list_uploads(
        self, actor: Actor, org: str, *, before: str | None = None, limit: int = 100
    ) -> Sequence[Row]:
        """Return the uploads of an organisation, newest first."""
        return uploads.list_uploads(self.store, actor, org, before=before, limit=limit)

    def delete_upload(self, actor: Actor, upload_id: str) -> Row:
        """Delete an upload permanently and return its row. Raises NotFound, Forbidden, Conflict while a job needs it."""
        return files.delete_upload(self.store, actor, upload_id)

    def find_artefact(self, actor: Actor, artefact_id: str) -> Row:
        """Return one artefact. Raises NotFound."""
        return find_artefact(self.store, actor, artefact_id)

    def artefact_file(self, artefact: Row) -> Path:
        """Return a file with the bytes of an artefact. Raises Unavailable if they are missing."""
        return self.runtime.blobs.path(artefact["sha256"])

    def read_artefact(self, artefact: Row) -> Iterator[bytes]:
        """Return the bytes of an artefact in chunks."""
        return self.runtime.blobs.read(artefact["sha256"])

    def pin_artefact(self, actor: Actor, artefact_id: str, *, pinned: bool) -> Row:
        """Pin one artefact, so that it is kept regardless of retention, or unpin it. Raises NotFound, Forbidden."""
        return files.pin_artefact(self.store, actor, artefact_id, pinned=pinned)

    def delete_artefact(self, actor: Actor, artefact_id: str) -> Row:
        """Delete one artefact permanently and return its row. Raises NotFound, Forbidden, Conflict for a pinned one."""
        return files.delete_artefact(self.store, actor, artefact_id)

    def list_storage(self, actor: Actor, org: str) -> Sequence[ProjectStorage]:
        """Return the storage of an organisation by project. Raises NotFound, Forbidden."""
        return overview.storage_of(self.store, actor, self.runtime, org)

    def set_retention(
        self, actor: Actor, org: str, days: int, *, project: str | None = None
    ) -> RetentionRule:
        """Set how long new outputs are kept. Raises InvalidInput, NotFound, Forbidden."""
        return retention_rules.set_retention(self.store, actor, self.runtime, org, days, project=project)

    def delete_retention(self, actor: Actor, org: str, *, project: str | None = None) -> RetentionRule:
        """Delete a retention rule and return it. Raises NotFound."""
        return retention_rules.delete_retention(self.store, actor, org, project=project)
