"""First rows and columns of Parquet, CSV and JSON lines, by DuckDB without any file or network of its own.

DuckDB gets one file, from a file system that knows no other; its access to the machine's files is switched off before it reads a byte.
"""

from __future__ import annotations

import datetime
import functools
import io
import json
import math
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import duckdb
import fsspec

from pearlstreet.hub.preview.formats import Format
from pearlstreet.hub.preview.safetensors import BrokenFile

ROWS = 20
COLUMNS_MAX = 100
CELL_CHARACTERS = 200
HEAD_BYTES = 1 << 20
"""Bytes of CSV and JSON lines that are read, also after unpacking."""
PLACE = "preview://file"
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "256MB",
    "max_temp_directory_size": "0B",
}
LAZY = (
    "1.5::DECIMAL(4,1)",
    "TIMESTAMPTZ '2000-01-01'",
    "DATE '2000-01-01'",
    "TIME '01:00'",
    "uuid()",
    "INTERVAL 1 DAY",
)
READERS = {
    Format.PARQUET: "read_parquet('preview://file')",
    Format.CSV: "read_csv('preview://file', max_line_size=1048576, ignore_errors=true)",
    Format.JSON_LINES: "read_json('preview://file', format='newline_delimited', ignore_errors=true)",
}


class _KeptOpen(io.RawIOBase):
    """The file, from its beginning, which stays open when a reader closes it and opens it again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the place of the next read."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        return self._file.read(size)


class _OneFile(fsspec.AbstractFileSystem):  # type: ignore[misc]  # the library has no types
    """A file system with one file."""

    protocol = "preview"
    cachable = False

    def __init__(self, opened: Callable[[], io.RawIOBase | io.BytesIO], size_bytes: int) -> None:
        super().__init__()
        self._opened, self._size_bytes = opened, size_bytes

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.RawIOBase | io.BytesIO:
        if mode != "rb":
            raise PermissionError(path)
        return self._opened()

    def info(self, path: str, **options: Any) -> dict[str, object]:
        """Return the facts of the file."""
        return {"name": path, "size": self._size_bytes, "type": "file"}

    def exists(self, path: str, **options: Any) -> bool:
        """Return whether a path is the file."""
        return path.removeprefix("preview://") == "file"

    def glob(self, path: str, **options: Any) -> list[str]:
        """Return the file, whatever the pattern."""
        return [path]

    def modified(self, path: str) -> datetime.datetime:
        """Return a fixed time."""
        return datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def read_rows(
    file: BinaryIO, size_bytes: int, chosen: Format, confine: Callable[[], object] = lambda: None
) -> dict[str, object]:
    """Return columns and first rows of a table. `confine`: called before the first byte is interpreted. Raises BrokenFile."""
    opened: Callable[[], io.RawIOBase | io.BytesIO] = functools.partial(_KeptOpen, file)
    if chosen is not Format.PARQUET:
        head = _head(file)
        opened, size_bytes = functools.partial(io.BytesIO, head), len(head)
    with duckdb.connect(":memory:", config=SETTINGS) as connection:
        connection.register_filesystem(_OneFile(opened, size_bytes))
        connection.execute(f"SET allowed_paths=['{PLACE}']")
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        for kind in LAZY:
            # The library loads Python modules for these types when a value is first fetched.
            connection.execute(f"SELECT {kind}").fetchall()
        confine()
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {READERS[chosen]}").fetchall()  # noqa: S608  constants
            names = [(str(one[0])[:CELL_CHARACTERS], str(one[1])[:CELL_CHARACTERS]) for one in described]
            count = None
            if chosen is Format.PARQUET:
                counted = connection.execute(f"SELECT num_rows FROM parquet_file_metadata('{PLACE}')")  # noqa: S608
                count = int(counted.fetchall()[0][0])
        except Exception as error:  # noqa: BLE001  also what reading the file raised, which passes through DuckDB
            raise BrokenFile(str(error).splitlines()[0][:300] if str(error) else "not a table") from None
        rows = _rows(connection, chosen)
    return {
        "kind": "table",
        "columns": [{"name": name, "type": kind} for name, kind in names[:COLUMNS_MAX]],
        "column_count": len(names),
        "rows": rows or [],
        "row_count": count,
        "rows_left_out": rows is None,
    }


def _rows(connection: duckdb.DuckDBPyConnection, chosen: Format) -> list[list[object]] | None:
    """Return the first rows; None if they are broken or too large to read."""
    try:
        found = connection.execute(f"SELECT * FROM {READERS[chosen]} LIMIT {ROWS}").fetchall()  # noqa: S608  constants
    except Exception:  # noqa: BLE001  columns are shown without rows, whatever is wrong with these
        return None
    return [[_cell(value) for value in row[:COLUMNS_MAX]] for row in found]


def _head(file: BinaryIO) -> bytes:
    """Return the first lines of a text, unpacked if necessary."""
    head = file.read(HEAD_BYTES)
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
        except zlib.error:
            raise BrokenFile("the file is not gzip") from None
    if len(head) >= HEAD_BYTES and b"\n" in head:
        head = head[: head.rindex(b"\n") + 1]
    return head


def _cell(value: object) -> object:
    """Return a value as JSON shows it, cut to a length."""
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=_inner, ensure_ascii=False)[:CELL_CHARACTERS]
    return str(value)[:CELL_CHARACTERS]


def _inner(value: object) -> object:
    return f"{len(value)} bytes" if isinstance(value, (bytes, bytearray)) else str(value)[:CELL_CHARACTERS]
