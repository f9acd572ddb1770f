"""Uploads a file of known SHA-256 to an object store through signed addresses, whole or in parts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

from .folder_upload import Changed
from .http import PAUSE_S, TRIES, RequestFailed, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

READ_BYTES = 1 << 20


def upload(handle: int, grant: dict[str, Any]) -> None:
    """Upload an open file. It appears under its name whole and verified, or not at all. Raises OSError."""
    size_bytes: int = grant["size_bytes"]
    if not grant["complete"]:
        _repeat(
            lambda: send("PUT", grant["parts"][0], _verified(handle, size_bytes, grant["sha256"]), size_bytes)
        )
        return
    try:
        _send_parts(handle, grant)
    except OSError:
        with contextlib.suppress(OSError):
            send("DELETE", grant["abort"])
        raise


def _send_parts(handle: int, grant: dict[str, Any]) -> None:
    digest, size_bytes, tags = hashlib.sha256(), grant["size_bytes"], []
    for number, url in enumerate(grant["parts"]):
        start = number * grant["part_bytes"]
        end = min(start + grant["part_bytes"], size_bytes)
        for data in _pieces(handle, start, end):
            digest.update(data)
        tags.append(_send_part(handle, url, start, end))
    if digest.hexdigest() != grant["sha256"]:
        raise Changed
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{_plain(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, start=1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    said = _repeat(lambda: send("POST", grant["complete"], [body], len(body)))[""]
    if "<Error>" in said:  # S3 may answer 200 before it knows
        raise RequestFailed(0, "the object store could not join the parts")


def _send_part(handle: int, url: str, start: int, end: int) -> str:
    """Send one part and return its tag. Raises OSError."""
    return _repeat(lambda: send("PUT", url, _pieces(handle, start, end), end - start)).get("etag", "")


def _plain(tag: str) -> str:
    return tag.replace("&", "&amp;").replace("<", "&lt;")


def _verified(handle: int, size_bytes: int, sha256: str) -> Iterator[bytes]:
    """Yield the pieces of a file; the last one only if the digest of all is right, so that the request fails otherwise."""
    digest, waiting = hashlib.sha256(), b""
    for data in _pieces(handle, 0, size_bytes):
        if waiting:
            yield waiting
        digest.update(data)
        waiting = data
    if digest.hexdigest() != sha256:
        raise Changed
    if waiting:
        yield waiting


def _pieces(handle: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        data = os.pread(handle, min(READ_BYTES, end - start), start)
        if not data:
            raise Changed
        start += len(data)
        yield data


def _repeat(request: Callable[[], dict[str, str]]) -> dict[str, str]:
    for left in range(TRIES - 1, -1, -1):
        try:
            return request()
        except Changed:
            raise
        except OSError as error:
            if not left or (isinstance(error, RequestFailed) and 400 <= error.status < 500):
                raise
            time.sleep(PAUSE_S)
    raise RequestFailed(0, "the object store does not answer")
