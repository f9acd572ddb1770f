"""Bytes of a stored file, read from a path or a signed address and verified against their SHA-256."""

from __future__ import annotations

import hashlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

READ_BYTES = 1 << 20


class DamagedBlob(OSError):
    """Raised at the end of a stored file whose bytes have another digest or length than its name says."""

    def __init__(self) -> None:
        super().__init__(0, "the stored file is damaged")


class VerifiedStream:
    """A stored file read from its beginning; `read` raises DamagedBlob instead of its last bytes if they have changed."""

    def __init__(self, source: dict[str, Any]) -> None:
        self._file: Any = _open_address(source) if source.get("url") else _open_path(source["path"])
        self._sha256, self._left = source["sha256"], int(source["size_bytes"])
        self._digest = hashlib.sha256()
        self._is_verified = False

    def read(self, most_bytes: int = READ_BYTES) -> bytes:
        """Return at most `most_bytes` bytes; b"" after the last one. Raises OSError."""
        data: bytes = self._file.read(min(most_bytes, self._left)) if self._left else b""
        self._digest.update(data)
        self._left -= len(data)
        if not self._is_verified and (not self._left or not data):
            if self._left or self._digest.hexdigest() != self._sha256:
                raise DamagedBlob
            self._is_verified = True
        return data

    def close(self) -> None:
        """Close the file or the connection."""
        self._file.close()

    def __enter__(self) -> VerifiedStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_verified(source: dict[str, Any], folder: str, go_on: Callable[[], None]) -> IO[bytes]:
    """Return a stored file that can be read in any order, verified already.

    A file behind an address is first copied to a nameless file in `folder`. `go_on` is called between pieces and may raise.
    Raises OSError.
    """
    with VerifiedStream(source) as stream:
        if not source.get("url"):
            while stream.read():
                go_on()
            return _open_path(source["path"])
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        copy = os.fdopen(handle, "w+b")
        try:
            while data := stream.read():
                go_on()
                copy.write(data)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
        return copy


def _open_path(path: str) -> IO[bytes]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is not an ordinary file")
    return open(handle, "rb")


def _open_address(source: dict[str, Any]) -> Any:
    from .http import Download  # importing it takes longer than most inputs, so only for addresses

    return Download(source["url"], int(source["size_bytes"]))
