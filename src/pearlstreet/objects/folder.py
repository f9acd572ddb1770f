"""Blobs in a folder of the center's disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pearlstreet.objects.model import CHUNK, SHARDS, Blob, BlobReference, UploadGrant, check_name, not_stored
from pearlstreet.objects.streams import move_file, not_written, verified, write_file


class FolderBlobs:
    """A folder of blobs (see `BlobStore`). A crash leaves at most a stray file in `tmp`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = root / "tmp"
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._publishing = threading.Lock()
        """Held while a blob appears under its name, or is deleted for its age."""

    def keep(self, chunks: Iterable[bytes], name: str, *, limit_bytes: int) -> Blob:
        """See `BlobStore.keep`."""
        temporary = self._tmp / name
        try:
            blob = write_file(chunks, temporary, limit_bytes=limit_bytes)
            self._publish(temporary, blob.sha256)
        except OSError as error:
            raise not_written(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return blob

    def keep_file(self, file: Path, blob: Blob, name: str) -> None:
        """See `BlobStore.keep_file`."""
        temporary = self._tmp / name
        try:
            move_file(file, temporary)
            # The age of a blob is that of its file, and garbage collection goes by it.
            os.utime(temporary)
            self._publish(temporary, blob.sha256)
        except OSError as error:
            raise not_written(error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `BlobStore.read`."""
        path = self.path(sha256)
        if start == 0 and length is None:
            return verified(_chunks(path, 0, None), sha256)
        return _chunks(path, start, length)

    def path(self, sha256: str) -> Path:
        """See `BlobStore.path`."""
        path = self._place(sha256)
        if not path.is_file():
            raise not_stored(sha256)
        return path

    def size_bytes(self, sha256: str) -> int:
        """See `BlobStore.size_bytes`."""
        return self.path(sha256).stat().st_size

    def stored_s(self, sha256: str) -> float:
        """See `BlobStore.stored_s`."""
        return self.path(sha256).stat().st_mtime

    def signed_url(self, sha256: str, *, valid_s: int) -> str | None:
        """Return None: a folder has no addresses."""
        return None

    def reference(self, blob: Blob, *, valid_s: int) -> BlobReference:
        """See `BlobStore.reference`."""
        return BlobReference(blob.sha256, blob.size_bytes, path=str(self.path(blob.sha256).absolute()))

    def upload_folder(self) -> Path:
        """See `BlobStore.upload_folder`."""
        return self._root.absolute()

    def grant_upload(self, blob: Blob, *, valid_s: int) -> UploadGrant | None:
        """Return None: files are put into the folder."""
        return None

    def stored_before(self, shard: int, before_s: float) -> Sequence[str]:
        """See `BlobStore.stored_before`."""
        return [path.name for path in _older(self._root / f"{shard % SHARDS:02x}", before_s)]

    def delete(self, sha256: str) -> None:
        """See `BlobStore.delete`."""
        self._place(sha256).unlink(missing_ok=True)

    def delete_older(self, sha256: str, before_s: float) -> bool:
        """See `BlobStore.delete_older`."""
        place, aside = self._place(sha256), self._tmp / f"old-{sha256}"
        with self._publishing:
            try:
                if place.stat().st_mtime >= before_s:
                    return False
                place.replace(aside)
            except FileNotFoundError:
                return False
            # A stager is another process: it may have found the blob and renewed its age since the look at it.
            is_old = aside.stat().st_mtime < before_s
            if not is_old and not place.exists():
                aside.replace(place)
            aside.unlink(missing_ok=True)
            return is_old

    def drop_stray(self, before_s: float) -> None:
        """See `BlobStore.drop_stray`."""
        for stray in _older(self._tmp, before_s):
            stray.unlink(missing_ok=True)

    def _place(self, sha256: str) -> Path:
        return self._root / check_name(sha256)[:2] / sha256

    def _publish(self, temporary: Path, sha256: str) -> None:
        target = self._place(sha256)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with self._publishing:
            temporary.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _chunks(path: Path, start: int, length: int | None) -> Iterator[bytes]:
    left = length
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(CHUNK if left is None else min(CHUNK, left)):
            yield chunk
            left = None if left is None else left - len(chunk)


def _older(folder: Path, before_s: float) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.lstat().st_mtime < before_s]
    except FileNotFoundError:
        return []
