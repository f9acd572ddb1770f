"""Blobs in a bucket of an S3 server, through obstore.

A file is first written to the center's disk, because its name is known only at its end; then it is uploaded, in parts if
it is large, and appears under its name at once or not at all. Only this module imports obstore.
"""

from __future__ import annotations

import contextlib
import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.base.text import text
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import CHUNK, SHARDS, Blob, BlobReference, UploadGrant, check_name, not_stored
from pearlstreet.objects.signing import Signer
from pearlstreet.objects.streams import not_written, verified, write_file

if TYPE_CHECKING:
    from obstore.store import S3Config

T = TypeVar("T")
PART_BYTES = 16 << 20
"""Size of one part of a large upload; S3 allows 10,000 parts, so a blob of up to 160 GB."""
FRESH_S = 3600.0
"""Age up to which a stored blob is not uploaded again. An older one is, so that garbage collection counts it as new."""
RETRY_AFTER_S = 15
GRANT_PARTS_MAX = 1000
"""Parts of an upload by others, so that its signed addresses stay few; larger blobs get larger parts."""
_UPLOAD_ID = re.compile(r"<UploadId>([^<]+)</UploadId>")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket of an S3 server, with a prefix of all names in it, and the credentials."""

    bucket: str
    prefix: str
    endpoint: str
    """Address of the server; empty: Amazon's of the region."""
    region: str
    key_id: str
    secret: str


class S3Blobs:
    """Blobs in a bucket (see `BlobStore`). `work`: folder for unfinished files and for copies that engines read.

    `now_s`: the time in seconds since 1970.
    """

    def __init__(self, settings: S3Settings, work: Path, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._tmp = work / "tmp"
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copies = FolderBlobs(work / "copies")
        self._arriving: Counter[str] = Counter()
        """Blobs that are being uploaded, which `delete_older` leaves alone."""
        self._granted: dict[str, float] = {}
        """Blobs that others may be uploading, with the time until which they may (seconds since 1970)."""
        self._lock = threading.Lock()
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self._signer = Signer(
            settings.endpoint or f"https://s3.{settings.region}.amazonaws.com",
            settings.bucket,
            settings.region,
            settings.key_id,
            settings.secret,
        )
        config: S3Config = {
            "region": settings.region,
            "access_key_id": settings.key_id,
            "secret_access_key": settings.secret,
        }
        if settings.endpoint:
            config["endpoint"] = settings.endpoint
        self._store = S3Store(
            settings.bucket,
            config=config,
            client_options={
                "allow_http": settings.endpoint.startswith("http:"),
                "connect_timeout": "5 seconds",
                "timeout": "120 seconds",
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )

    def keep(self, chunks: Iterable[bytes], name: str, *, limit_bytes: int) -> Blob:
        """See `BlobStore.keep`."""
        temporary = self._tmp / name
        try:
            blob = write_file(chunks, temporary, limit_bytes=limit_bytes)
            with self._marked(blob.sha256):
                if not self._is_fresh(blob):
                    self._upload(temporary, blob)
        except OSError as error:
            raise not_written(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return blob

    def keep_file(self, file: Path, blob: Blob, name: str) -> None:
        """See `BlobStore.keep_file`."""
        with self._marked(blob.sha256):
            if not self._is_fresh(blob):
                self._upload(file, blob)
        file.unlink(missing_ok=True)

    def read(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `BlobStore.read`."""
        size = self.size_bytes(sha256)
        if start == 0 and length is None:
            return verified(self._chunks(sha256, 0, size), sha256)
        return self._chunks(sha256, start, size if length is None else min(size, start + length))

    def path(self, sha256: str) -> Path:
        """See `BlobStore.path`. The copy is deleted by `drop_stray` a while after it was last asked for."""
        try:
            copy = self._copies.path(sha256)
        except NotFound:
            self._copies.keep(self.read(sha256), f"{sha256}-{threading.get_ident()}", limit_bytes=1 << 62)
            copy = self._copies.path(sha256)
        copy.touch()
        return copy

    def size_bytes(self, sha256: str) -> int:
        """See `BlobStore.size_bytes`."""
        return int(self._head(sha256)["size"])

    def stored_s(self, sha256: str) -> float:
        """See `BlobStore.stored_s`."""
        return float(self._head(sha256)["last_modified"].timestamp())

    def signed_url(self, sha256: str, *, valid_s: int) -> str | None:
        """See `BlobStore.signed_url`."""
        self._head(sha256)
        return obstore.sign(self._store, "GET", self._place(sha256), timedelta(seconds=valid_s))

    def reference(self, blob: Blob, *, valid_s: int) -> BlobReference:
        """See `BlobStore.reference`."""
        url = self._sign("GET", self._place(blob.sha256), valid_s)
        return BlobReference(blob.sha256, blob.size_bytes, url=url)

    def upload_folder(self) -> Path | None:
        """Return None: a bucket is written through grants."""
        return None

    def grant_upload(self, blob: Blob, *, valid_s: int) -> UploadGrant | None:
        """See `BlobStore.grant_upload`."""
        self._note_grant(blob.sha256, self._now_s() + valid_s)
        if self._is_fresh(blob):
            return None
        place, size = self._place(blob.sha256), blob.size_bytes
        if size <= PART_BYTES:
            return UploadGrant(blob.sha256, size, max(size, 1), (self._sign("PUT", place, valid_s),))
        part_bytes = max(PART_BYTES, -(-size // GRANT_PARTS_MAX))
        upload = {"uploadId": self._begin_upload(place)}
        parts = tuple(
            self._sign("PUT", place, valid_s, {**upload, "partNumber": str(number)})
            for number in range(1, -(-size // part_bytes) + 1)
        )
        complete, abort = (self._sign(method, place, valid_s, upload) for method in ("POST", "DELETE"))
        return UploadGrant(blob.sha256, size, part_bytes, parts, complete, abort)

    def _note_grant(self, sha256: str, until_s: float) -> None:
        with self._lock:
            now_s = self._now_s()
            self._granted = {name: end_s for name, end_s in self._granted.items() if end_s > now_s}
            self._granted[sha256] = until_s

    def _sign(self, method: str, place: str, valid_s: int, query: Mapping[str, str] | None = None) -> str:
        return self._signer.sign(method, place, self._now_s(), valid_s, query)

    def _begin_upload(self, place: str) -> str:
        """Begin an upload in parts and return its id. Raises Unavailable."""
        request = urllib.request.Request(self._sign("POST", place, 60, {"uploads": ""}), method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  the operator's server
                found = _UPLOAD_ID.search(answer.read(1 << 16).decode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            raise _no_answer(str(error)) from error
        if found is None:
            raise _no_answer("no upload id")
        return found[1]

    def stored_before(self, shard: int, before_s: float) -> Sequence[str]:
        """See `BlobStore.stored_before`."""
        prefix = f"{self._prefix}{shard % SHARDS:02x}"

        def names() -> list[str]:
            return [
                str(one["path"]).rpartition("/")[2]
                for page in obstore.list(self._store, prefix)
                for one in page
                if one["last_modified"].timestamp() < before_s
            ]

        return _answered(names)

    def delete(self, sha256: str) -> None:
        """See `BlobStore.delete`."""
        place = self._place(sha256)
        with contextlib.suppress(FileNotFoundError):
            _answered(lambda: obstore.delete(self._store, place))
        self._copies.delete(sha256)

    def delete_older(self, sha256: str, before_s: float) -> bool:
        """See `BlobStore.delete_older`."""
        with self._lock:
            try:
                is_arriving = self._arriving[sha256] or self._granted.get(sha256, 0.0) > self._now_s()
                if is_arriving or self.stored_s(sha256) >= before_s:
                    return False
            except NotFound:
                return False
            self.delete(sha256)
            return True

    def drop_stray(self, before_s: float) -> None:
        """See `BlobStore.drop_stray`; copies that were not asked for since then are deleted, too."""
        for stray in self._tmp.iterdir():
            if stray.lstat().st_mtime < before_s:
                stray.unlink(missing_ok=True)
        self._copies.drop_stray(before_s)
        for shard in range(SHARDS):
            for name in self._copies.stored_before(shard, before_s):
                self._copies.delete(name)

    @contextlib.contextmanager
    def _marked(self, sha256: str) -> Iterator[None]:
        with self._lock:
            self._arriving[sha256] += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving[sha256] -= 1
                if not self._arriving[sha256]:
                    del self._arriving[sha256]

    def _place(self, sha256: str) -> str:
        return f"{self._prefix}{check_name(sha256)[:2]}/{sha256}"

    def _head(self, sha256: str) -> obstore.ObjectMeta:
        place = self._place(sha256)
        try:
            return _answered(lambda: obstore.head(self._store, place))
        except FileNotFoundError:
            raise not_stored(sha256) from None

    def _is_fresh(self, blob: Blob) -> bool:
        """Return whether the blob is stored whole and so lately that garbage collection leaves it alone."""
        try:
            head = self._head(blob.sha256)
        except NotFound:
            return False
        age_s = self._now_s() - head["last_modified"].timestamp()
        return int(head["size"]) == blob.size_bytes and age_s < FRESH_S

    def _upload(self, path: Path, blob: Blob) -> None:
        place = self._place(blob.sha256)
        _answered(
            lambda: obstore.put(
                self._store,
                place,
                path,
                use_multipart=blob.size_bytes > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=4,
            )
        )

    def _chunks(self, sha256: str, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes in ranges: a request each, so that a slow reader holds no connection open."""
        place = self._place(sha256)
        step = 8 * CHUNK
        for at in range(start, end, step):
            try:
                part = _answered(
                    lambda at=at: obstore.get_range(self._store, place, start=at, end=min(end, at + step))  # type: ignore[misc]
                )
            except FileNotFoundError:
                raise not_stored(sha256) from None
            yield bytes(part)


def _answered(call: Callable[[], T]) -> T:
    """Return the answer of the server. Raises FileNotFoundError (obstore's for a missing object), and Unavailable for every other failure."""
    try:
        return call()
    except FileNotFoundError:
        raise
    except BaseError as error:
        raise _no_answer(str(error).splitlines()[0]) from error


def _no_answer(problem: str) -> Unavailable:
    return Unavailable(
        text("The object store does not answer: {problem}", problem=problem[:200]),
        hint=text("Repeat the command; operators: check [objects] in pearl.toml and the S3 server"),
        retry_after_s=RETRY_AFTER_S,
    )
