"""Restores a center from a backup file, after checking all of its contents."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pearlstreet.base.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from pearlstreet.base.text import Text, text
from pearlstreet.store import pg_dump
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer

FORMAT = 1
MANIFEST = "MANIFEST.json"
PG_MEMBER = "database.pgdump"
MANIFEST_MAX_BYTES = 1 << 30
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The restored backup: the time it was made, its schema version, and its size."""

    made_at_us: int
    schema: str | None
    database: str
    files: int
    bytes: int
    signed: bool


class Hashing:
    """A file that hashes what is read from it."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read like a file, and hash the bytes."""
        chunk = self._inner.read(size)
        self.digest.update(chunk)
        return chunk


def restore(
    file: Path, data_dir: Path, *, sealer: Sealer | None = None, database: Database | None = None
) -> RestoreReport:
    """Unpack a backup into `data_dir`, which must be empty or absent; a PostgreSQL dump is restored to `database`.

    With a `sealer` the manifest's signature must be right. Raises InvalidInput for a file that is no backup, is truncated
    or was changed (then nothing remains of it), Conflict when `data_dir` is not empty.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise Conflict(
            text("The folder {folder} is not empty", folder=str(data_dir)),
            hint=text("Restore into a new folder, or move the old one away first"),
        )
    try:
        fresh = not data_dir.exists()
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        # Unpacked beside the folder, or in it if it exists and so may be a mounted disk, to rename on one file system.
        with tempfile.TemporaryDirectory(
            prefix=".restore-", dir=data_dir.parent if fresh else data_dir
        ) as scratch:
            staging = Path(scratch) / "data"
            staging.mkdir(mode=0o700)
            hashes, manifest = _unpack(file, staging)
            _compare(file, hashes, manifest, sealer)
            _restore_postgres(staging, manifest, database)
            if fresh:
                staging.rename(data_dir)
            else:
                for part in staging.iterdir():
                    part.rename(data_dir / part.name)
    except OSError as error:
        raise Unavailable(
            text("The backup cannot be unpacked: {problem}", problem=str(error)),
            hint=text("Choose a folder with enough free space and write access"),
        ) from error
    return RestoreReport(
        made_at_us=manifest["made_at_us"],
        schema=manifest["schema"],
        database=manifest["database"],
        files=len(hashes),
        bytes=sum(member["bytes"] for member in manifest["members"]),
        signed=bool(sealer and manifest.get("mac")),
    )


def _unpack(file: Path, staging: Path) -> tuple[Mapping[str, str], dict[str, Any]]:
    """Unpack all members below `staging`; returns their SHA-256 by name, and the manifest."""
    hashes: dict[str, str] = {}
    manifest: object = None
    try:
        with tarfile.open(file, mode="r|gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or manifest is not None:
                    raise _bad(
                        file, text("it contains {name}, which does not belong to a backup", name=member.name)
                    )
                if member.name == MANIFEST:
                    manifest = json.loads(content.read(MANIFEST_MAX_BYTES))
                else:
                    hashes[member.name] = _place(file, staging, member, content)
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise _bad(file, text("it is truncated or not a backup ({problem})", problem=str(error))) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip reports a wrong checksum as an OSError without errno.
        raise _bad(file, text("it is truncated or not a backup ({problem})", problem=str(error))) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _bad(file, text("its list of contents is missing or of another version"))
    return hashes, manifest


def _place(file: Path, staging: Path, member: tarfile.TarInfo, content: IO[bytes]) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not name.parts or "\0" in member.name:
        raise _bad(file, text("it contains {name}, which does not belong to a backup", name=member.name))
    target = staging / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hashing = Hashing(content)
    descriptor = os.open(
        target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600 | (member.mode & 0o100)
    )
    with os.fdopen(descriptor, "wb") as written:
        shutil.copyfileobj(hashing, written, _CHUNK)
        written.flush()
        os.fsync(written.fileno())
    return hashing.digest.hexdigest()


def _compare(
    file: Path, hashes: Mapping[str, str], manifest: Mapping[str, Any], sealer: Sealer | None
) -> None:
    try:
        listed = {str(member["name"]): str(member["sha256"]) for member in manifest["members"]}
        database, _, _ = str(manifest["database"]), int(manifest["made_at_us"]), manifest["schema"]
        mac = str(manifest["mac"])
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(file, text("its list of contents is missing or of another version")) from error
    for name in sorted({*listed, *hashes}):
        if listed.get(name) != hashes.get(name):
            raise _bad(file, text("{name} is missing or was changed", name=name))
    if database not in hashes:
        raise _bad(file, text("{name} is missing or was changed", name=database))
    if sealer is not None and mac and not sealer.mac_is_right(mac_message(manifest), mac):
        raise _bad(file, text("its signature does not match this center's encryption key"))
    if sealer is not None and not mac:
        raise _bad(file, text("it is not signed"))


def mac_message(manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes that the signature of a manifest covers."""
    return json.dumps({**manifest, "mac": None}, sort_keys=True).encode()


def _restore_postgres(staging: Path, manifest: Mapping[str, Any], database: Database | None) -> None:
    if manifest["database"] != PG_MEMBER:
        return
    if database is None or database.is_sqlite:
        raise ConfigurationError(
            text("The backup holds a PostgreSQL database"),
            hint=text("Name an empty PostgreSQL database to restore into"),
        )
    dumped = staging / PG_MEMBER
    pg_dump.load(database, dumped)
    dumped.unlink()


def _bad(file: Path, why: Text) -> InvalidInput:
    return InvalidInput(
        text("{file} cannot be restored: {why}", file=str(file), why=why),
        hint=text("Nothing was changed; try another backup file"),
    )
