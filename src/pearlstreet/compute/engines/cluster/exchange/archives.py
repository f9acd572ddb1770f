"""Folders as tar streams for the nodes, and digests of folders, under which nodes cache those that do not change."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def program_archive(entry: Path) -> bytes:
    """Return the program of the nodes as a tar file, equal for equal content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as archive:
        for path in sorted(entry.parent.rglob("*.py")):
            archive.add(path, str(path.relative_to(entry.parent)), recursive=False, filter=_anonymous)
    return out.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def folder_digest(folder: Path) -> str:
    """Return a digest of names, sizes, times, rights and link targets of all that is in a folder. Raises OSError."""
    digest = hashlib.sha256(os.fsencode(folder))
    for path, stats in _walk(str(folder)):
        target = str(Path(path).readlink()) if stat.S_ISLNK(stats.st_mode) else ""
        size = stats.st_size if stat.S_ISREG(stats.st_mode) else 0
        digest.update(repr((path, stats.st_mode, size, stats.st_mtime_ns, target)).encode())
    return digest.hexdigest()


def write_folder(folder: Path, out: IO[bytes]) -> None:
    """Write the folders, files and links in a folder as a tar stream; no link is followed. Raises OSError."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path, stats in _walk(str(folder)):
            member = _anonymous(tarfile.TarInfo(os.path.relpath(path, folder)))
            member.mode, member.mtime = stat.S_IMODE(stats.st_mode), int(stats.st_mtime)
            if stat.S_ISDIR(stats.st_mode):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif stat.S_ISLNK(stats.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, str(Path(path).readlink())
                archive.addfile(member)
            elif stat.S_ISREG(stats.st_mode):
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
                with open(handle, "rb") as file:
                    member.size = os.fstat(handle).st_size
                    archive.addfile(member, file)


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below a folder, folders before what is in them, sorted by name."""
    with os.scandir(folder) as entries:
        content = sorted((entry.name, entry.path, entry.stat(follow_symlinks=False)) for entry in entries)
    for _, path, stats in content:
        yield path, stats
        if stat.S_ISDIR(stats.st_mode):
            yield from _walk(path)
