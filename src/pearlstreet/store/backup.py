"""Backup of a whole center in one file: a consistent copy of the database, the other files, and their hashes.

The file is a tar.gz whose last member is a manifest with the SHA-256 of all other members, signed with the sealing key.
The key is left out by default, so that a stolen backup reveals no secrets.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pearlstreet.base.errors import ConfigurationError, Unavailable
from pearlstreet.base.text import text
from pearlstreet.store import migrations, pg_dump
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.restore import (
    FORMAT,
    MANIFEST,
    PG_MEMBER,
    Hashing,
    RestoreReport,
    mac_message,
    restore,
)

__all__ = ["BackupReport", "RestoreReport", "backup", "restore"]

GZIP_LEVEL = 1
"""Compression level; the fastest, because most bytes are artefacts that hardly compress."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Contents of a backup. `left_out` names links and devices, which are not backed up."""

    file: Path
    files: int
    bytes: int
    left_out: tuple[str, ...]


def backup(
    store: Store,
    data_dir: Path,
    target: Path,
    *,
    folders: Sequence[str],
    key_file: Path | None = None,
    with_key: bool = False,
) -> BackupReport:
    """Copy the database and `folders` (below `data_dir`) into the file `target` while the center runs.

    The file appears complete or not at all. The database is copied first, so the backup contains all files that its rows
    name. Raises ConfigurationError when the database is damaged, Unavailable when the target cannot be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        with _private_file(part) as raw, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            report = _write(store, data_dir, target, raw, Path(scratch), folders, key_file, with_key)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise Unavailable(
            text("The backup cannot be written: {problem}", problem=str(error)),
            hint=text("Choose a folder with enough free space and write access"),
        ) from error
    finally:
        _drop(part)
    return report


def copy_database(database: Database, folder: Path, name: str) -> Path:
    """Write a consistent copy of only the database to `folder` and return its path: a SQLite file or a pg_dump archive.

    An existing copy of the same name is kept. Raises ConfigurationError for a damaged database, Unavailable when the copy
    cannot be written.
    """
    target = folder / (name + (".db" if database.is_sqlite else ".pgdump"))
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _private_file(part):
            pass
        if database.is_sqlite:
            _copy_sqlite(Path(database.url.database or ""), part)
        else:
            pg_dump.dump(database.url, part)
        part.replace(target)
        _sync_folder(folder)
    except OSError as error:
        raise Unavailable(
            text("The backup cannot be written: {problem}", problem=str(error)),
            hint=text("Choose a folder with enough free space and write access"),
        ) from error
    finally:
        _drop(part)
    return target


def _drop(part: Path) -> None:
    with suppress(OSError):  # the folder may not exist, and then neither does the file
        part.unlink(missing_ok=True)


@contextmanager
def _private_file(path: Path) -> Iterator[IO[bytes]]:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        yield raw
        raw.flush()
        os.fsync(raw.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    store: Store,
    data_dir: Path,
    target: Path,
    raw: IO[bytes],
    scratch: Path,
    folders: Sequence[str],
    key_file: Path | None,
    with_key: bool,
) -> BackupReport:
    members: list[dict[str, Any]] = []
    left_out: list[str] = []
    made_at_us = store.clock.now_us()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):

        def add(path: Path, name: str) -> None:
            member = _add(tar, path, name)
            if member is not None:
                members.append(member)
            elif path.is_symlink() or path.exists():
                left_out.append(name)

        database = _copy_database(store, data_dir, scratch, add)
        for path in _files_below(data_dir, folders):
            if key_file is None or path.resolve() != key_file.resolve():
                add(path, path.relative_to(data_dir).as_posix())
        if with_key and key_file is not None:
            add(key_file, _name_below(data_dir, key_file))
        manifest = {
            "format": FORMAT,
            "made_at_us": made_at_us,
            "schema": migrations.current(store.database),
            "database": database,
            "members": members,
        }
        _add_manifest(tar, store, manifest)
    return BackupReport(target, len(members), sum(member["bytes"] for member in members), tuple(left_out))


def _copy_database(store: Store, data_dir: Path, scratch: Path, add: Callable[[Path, str], None]) -> str:
    """Add a copy of the database to the backup; returns the member's name."""
    if not store.database.is_sqlite:
        copy = scratch / PG_MEMBER
        pg_dump.dump(store.database.url, copy)
        add(copy, PG_MEMBER)
        return PG_MEMBER
    path = Path(store.database.url.database or "")
    copy = scratch / "copy.db"
    _copy_sqlite(path, copy)
    name = _name_below(data_dir, path)
    add(copy, name)
    return name


def _copy_sqlite(source: Path, copy: Path) -> None:
    try:
        with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(copy)) as writer:
            reader.backup(writer)
            # In this mode the copy is a single file without a write-ahead log.
            writer.execute("PRAGMA journal_mode=DELETE")
            problems = [row[0] for row in writer.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        problems = [str(error)]
    if problems != ["ok"]:
        raise ConfigurationError(
            text("The database file is damaged: {problem}", problem="; ".join(problems)),
            hint=text("Stop the server and restore the last backup: pearl restore FILE"),
        )


def _files_below(data_dir: Path, folders: Sequence[str]) -> Iterator[Path]:
    """Yield the paths of all files and links below the folders, including links to folders."""
    for folder in folders:
        for root, inner, names in os.walk(data_dir / folder):
            inner.sort()
            links = [name for name in inner if Path(root, name).is_symlink()]
            for name in sorted([*names, *links]):
                yield Path(root, name)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> dict[str, object] | None:
    """Add one regular file and return its manifest entry; None if it has vanished, or is a link or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or path.is_symlink() or not path.is_file():
            return None
        raise
    with os.fdopen(descriptor, "rb") as content:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        info = tarfile.TarInfo(name)
        # A log may grow while it is read; the backup contains its present length.
        info.size, info.mode, info.mtime = status.st_size, status.st_mode & 0o700, int(status.st_mtime)
        hashing = Hashing(content)
        tar.addfile(info, hashing)
    return {"name": name, "bytes": info.size, "sha256": hashing.digest.hexdigest()}


def _add_manifest(tar: tarfile.TarFile, store: Store, manifest: dict[str, Any]) -> None:
    mac = store.sealer.mac(mac_message(manifest)) if store.sealer else ""
    written = json.dumps({**manifest, "mac": mac}, indent=1).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = len(written), 0o600
    tar.addfile(info, io.BytesIO(written))


def _name_below(data_dir: Path, path: Path) -> str:
    resolved, base = path.resolve(), data_dir.resolve()
    return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else path.name
