"""The process that reads one file of strangers: it gets bytes by asking for them, and answers with what it saw.

Lines of JSON on its output: `{"read": [start, length]}`, answered on its input by a length in four bytes and the bytes, and at last
`{"result": …}`. It holds no credential and opens nothing.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import Any, BinaryIO

from pearlstreet.hub.media import media_type
from pearlstreet.hub.preview.confinement import forbid_opening, limit_resources
from pearlstreet.hub.preview.formats import Format
from pearlstreet.hub.preview.pickles import begins_pickle, scan_pickles
from pearlstreet.hub.preview.safetensors import BrokenFile, read_safetensors

BLOCK = 256 << 10
PICKLE_BLOCK = 16 << 10
"""Bytes that are read at once; of archives only the heads of members are read, which lie far apart."""
READ_BYTES_MAX = 16 << 20
TOTAL_BYTES_MAX = 128 << 20
TEXT_BYTES = 64 << 10
CODECS = ("utf-8-sig", "latin-1", "cp437", "ascii")
"""Codecs of texts and of names in archives, which Python loads from files when they are first used."""


class TooMuch(Exception):
    """The preview would need more of the file than it may read."""


class RemoteFile(io.RawIOBase):
    """The file, read by questions to the parent process."""

    def __init__(self, size_bytes: int) -> None:
        self._at, self._size_bytes, self._read_bytes = 0, size_bytes, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the place of the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = min(max(0, base + offset), self._size_bytes)
        return self._at

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the parent. Raises TooMuch."""
        length = min(len(buffer), self._size_bytes - self._at, READ_BYTES_MAX)
        self._read_bytes += length
        if self._read_bytes > TOTAL_BYTES_MAX:
            raise TooMuch
        if length <= 0:
            return 0
        _say({"read": [self._at, length]})
        sent = int.from_bytes(sys.stdin.buffer.read(4), "little")
        data = sys.stdin.buffer.read(sent)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _say(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()


def look(file: BinaryIO, size_bytes: int, chosen: Format) -> dict[str, object]:
    """Return what a file holds. Raises BrokenFile, TooMuch."""
    if chosen in (Format.PARQUET, Format.CSV, Format.JSON_LINES):
        from pearlstreet.hub.preview.rows import read_rows

        return read_rows(file, size_bytes, chosen, forbid_opening)
    for codec in CODECS:
        codecs.lookup(codec)
    forbid_opening()
    if chosen is Format.SAFETENSORS:
        return read_safetensors(file, size_bytes)
    if chosen is Format.PICKLE:
        found = scan_pickles(file, size_bytes)
        if found is not None:
            return found
        file.seek(0)
    return _look_plain(file, size_bytes)


def _look_plain(file: BinaryIO, size_bytes: int) -> dict[str, object]:
    head = file.read(TEXT_BYTES)
    kind = media_type(head)
    if kind is not None:
        return {"kind": kind.partition("/")[0], "media_type": kind}
    if begins_pickle(head) or head[:4] == b"PK\x03\x04":
        file.seek(0)
        found = scan_pickles(file, size_bytes)
        if found is not None:
            return found
    if b"\0" not in head:
        cut = len(head) < size_bytes
        for end in range(len(head), max(len(head) - 4, -1), -1):
            try:
                return {"kind": "text", "text": head[:end].decode("utf-8-sig"), "is_cut": cut}
            except UnicodeDecodeError:
                if not cut:
                    break
    return {"kind": "none"}


def main() -> None:
    """Read the one file that the parent names."""
    limit_resources()
    asked = json.loads(sys.stdin.buffer.readline())
    size_bytes = int(asked["size_bytes"])
    chosen = Format(asked["format"])
    file = io.BufferedReader(RemoteFile(size_bytes), PICKLE_BLOCK if chosen is Format.PICKLE else BLOCK)
    try:
        result = look(file, size_bytes, chosen)
    except BrokenFile as error:
        result = {"kind": "broken", "problem": str(error)}
    except (TooMuch, MemoryError):
        result = {"kind": "too_large"}
    except Exception as error:  # noqa: BLE001  whatever a hostile file causes ends here
        result = {"kind": "broken", "problem": type(error).__name__}
    _say({"result": result})


if __name__ == "__main__":
    main()
