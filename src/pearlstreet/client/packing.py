"""A file as it is, a folder as a tar archive: what `pearl run` and `submit` upload."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text

LEFT_OUT = frozenset({".git", "__pycache__", ".venv", "node_modules", ".DS_Store"})


@contextmanager
def packed(path: Path) -> Iterator[tuple[Path, str, bool]]:
    """Yield the file to send, its name, and whether it is an archive of a folder. Raises InvalidInput when it is not there."""
    if path.is_file():
        yield path, path.name, False
        return
    check_exists(path)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{path.resolve().name or 'folder'}.tar.gz"
        # Without a time and a name in its header the archive of the same files has the same bytes.
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as tar,
        ):
            for item in sorted(path.iterdir()):
                tar.add(item, arcname=item.name, filter=_wanted)
        yield archive, archive.name, True


def check_exists(path: Path) -> None:
    """Raises InvalidInput where there is neither a file nor a folder."""
    if not (path.is_file() or path.is_dir()):
        raise InvalidInput(
            text("{path} does not exist", path=str(path)), hint=text("Paths are relative to the job file")
        )


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if member.name.rsplit("/", 1)[-1] in LEFT_OUT:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
