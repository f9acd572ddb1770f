"""What every store of blobs does: the name of a blob is the SHA-256 of its bytes, so it is written once and never changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.base.text import text

CHUNK = 1 << 20
"""Bytes that are read at once."""
SHARDS = 256
"""Number of parts that a store is listed in: blobs by the first two digits of their name."""
_NAME = re.compile(r"^[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Blob:
    """Digest (hexadecimal SHA-256) and size of a stored file."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A stored file as an engine reads it: by a path that it reaches, or an address that is valid for a while."""

    sha256: str
    size_bytes: int
    path: str = ""
    url: str = ""
    """Signed address: everybody who has it can read the file, so it is a secret while it is valid."""


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """Signed addresses with which one file of known digest and size can be stored, without credentials. They are secrets."""

    sha256: str
    size_bytes: int
    part_bytes: int
    parts: tuple[str, ...]
    """An address for each part, in order; all parts but the last have `part_bytes`."""
    complete: str = ""
    """Address that joins the parts; empty if there is only one."""
    abort: str = ""
    """Address that drops the parts."""


class BlobStore(Protocol):
    """Stores blobs; safe for many threads and processes. Every method raises Unavailable while the store does not answer."""

    def keep(self, chunks: Iterable[bytes], name: str, *, limit_bytes: int) -> Blob:
        """Store a stream as a blob, which is durable when this returns. `name`: unique name of the unfinished file.

        Raises TooLarge, or Unavailable if the disk is full; then nothing is stored.
        """

    def keep_file(self, file: Path, blob: Blob, name: str) -> None:
        """Store a file as a blob, which is durable when this returns; the file is gone then. `name`: as in `keep`.

        The caller has hashed the bytes, and nobody writes into the file any more. Raises Unavailable; then nothing is stored.
        """

    def read(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return the bytes from `start` on, in chunks; `length` None: to the end. Raises NotFound before the first chunk.

        A blob that is read whole is verified: Unavailable instead of its last chunk if its bytes have changed.
        """

    def path(self, sha256: str) -> Path:
        """Return the path of a file with the bytes on this machine, fetched if necessary. Raises NotFound."""

    def size_bytes(self, sha256: str) -> int:
        """Return the size of a blob. Raises NotFound."""

    def stored_s(self, sha256: str) -> float:
        """Return when a blob was last stored (seconds since 1970). Raises NotFound."""

    def signed_url(self, sha256: str, *, valid_s: int) -> str | None:
        """Return an address from which anybody can read the blob for `valid_s` seconds; None if the store has no such addresses."""

    def reference(self, blob: Blob, *, valid_s: int) -> BlobReference:
        """Return how an engine reads a blob, for at least `valid_s`. Asks no server. Raises NotFound if a folder lacks it."""

    def upload_folder(self) -> Path | None:
        """Return the folder in which a stager on this file system stores blobs; None if it needs grants."""

    def grant_upload(self, blob: Blob, *, valid_s: int) -> UploadGrant | None:
        """Return addresses for storing a blob, valid for `valid_s`; None if it is stored and counts as new, or needs none."""

    def stored_before(self, shard: int, before_s: float) -> Sequence[str]:
        """Return the names of the blobs in a shard (0 to 255) that were last stored before a time (seconds since 1970)."""

    def delete(self, sha256: str) -> None:
        """Delete a blob; one that is not stored is ignored."""

    def delete_older(self, sha256: str, before_s: float) -> bool:
        """Delete a blob unless it was stored, or is being stored, since a time (seconds since 1970); return whether it did.

        A collector that found a blob unnamed deletes it with this: the same bytes may have arrived again meanwhile.
        """

    def drop_stray(self, before_s: float) -> None:
        """Delete temporary files that were left by a crash before a time (seconds since 1970)."""


def check_name(sha256: str) -> str:
    """Return the name. Raises NotFound if it is no SHA-256, so that it cannot leave the store's folder."""
    if not _NAME.match(sha256):
        raise NotFound(text("{sha256} does not name a file", sha256=sha256[:80]))
    return sha256


def not_stored(sha256: str) -> NotFound:
    """Return the error for a blob that is not stored."""
    return NotFound(text("The file {sha256} is not kept here any more", sha256=sha256[:12]))


def damaged(sha256: str) -> Unavailable:
    """Return the error for a blob whose bytes have another digest than its name."""
    return Unavailable(
        text("The stored file {sha256} is damaged", sha256=sha256[:12]),
        hint=text("Ask the center's operator to restore it from a backup"),
        retry_after_s=3600,
    )
