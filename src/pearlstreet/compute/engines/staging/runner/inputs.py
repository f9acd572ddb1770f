"""Copies files, folders, archives and stored files into the work folder. It follows no links and writes nothing outside."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from .blob_stream import VerifiedStream, open_verified
from .records import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COPY_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class StageError(Exception):
    """Raised if a stage cannot be copied; its argument is the message."""


class Interrupted(Exception):
    """Raised if the attempt is stopped during staging."""


class InputWriter:
    """Writer of files beneath one folder, through folder descriptors opened without following links.

    `scratch`: folder on disk for archives that are fetched from an address; no job may see it.
    """

    def __init__(
        self,
        work: str,
        owner: tuple[int, int] | None,
        budget_bytes: int,
        interrupted: Callable[[], bool],
        scratch: str = "",
    ) -> None:
        self._root = os.open(work, _FOLDER)
        self._owner = owner
        self._left_bytes = budget_bytes
        self._interrupted = interrupted
        self._scratch = scratch or work

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    def put(self, stage: dict[str, Any]) -> None:
        """Copy one stage of the order. Raises StageError if the order is at fault, OSError if the disk is."""
        source, parts = stage["source"], split(stage["target"])
        if isinstance(source, dict):
            if stage["kind"] == "archive":
                with open_verified(source, self._scratch, self._go_on) as file:
                    self._unpack(file, parts)
            else:
                self.put_blob(source, parts)
            return
        if stage["kind"] == "archive":
            self._put_archive(source, parts)
        elif stage["kind"] == "folder":
            self._put_folder(source, parts)
        else:
            handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(handle, "rb") as file:
                stats = os.fstat(handle)
                if not stat.S_ISREG(stats.st_mode):
                    raise StageError(text("{path} is not an ordinary file", path=stage["target"]))
                self._put_file(parts, file, stats.st_mode)

    def put_blob(self, source: dict[str, Any], parts: list[str], *, executable: bool = False) -> None:
        """Copy a stored file, whose bytes are verified. Raises StageError, Interrupted, OSError."""
        with VerifiedStream(source) as file:
            self._put_file(parts, file, 0o755 if executable else 0o644)

    def put_same(self, handle: int, parts: list[str]) -> None:
        """Give an open file on the same file system a name here. Raises StageError, OSError."""
        with self._folder(parts[:-1]) as folder:
            self._clear(parts, folder)
            os.link(
                f"/proc/self/fd/{handle}",
                parts[-1],
                src_dir_fd=handle,
                dst_dir_fd=folder,
                follow_symlinks=True,
            )

    def make_folder(self, parts: list[str]) -> None:
        """Create a folder if there is none. Raises StageError, OSError."""
        with self._folder(parts):
            pass

    def put_link(self, parts: list[str], target: str) -> None:
        """Create a symbolic link; nothing here ever follows it. Raises StageError, OSError."""
        with self._folder(parts[:-1]) as folder:
            self._clear(parts, folder)
            os.symlink(target, parts[-1], dir_fd=folder)
            self._own(parts[-1], folder)

    def _go_on(self) -> None:
        if self._interrupted():
            raise Interrupted

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        """Open the folder `parts` beneath the root and create missing folders."""
        handle = os.dup(self._root)
        try:
            for part in parts:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=handle)
                    self._own(part, handle)
                try:
                    inner = os.open(part, _FOLDER, dir_fd=handle)
                except OSError as error:
                    path = "/".join(parts)
                    raise StageError(
                        text("{path} leads through something that is no folder", path=path)
                    ) from error
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _own(self, name: str, folder: int) -> None:
        if self._owner is not None:
            os.chown(name, *self._owner, dir_fd=folder, follow_symlinks=False)

    def _put_file(self, parts: list[str], file: Any, mode: int) -> None:
        if not parts:
            raise StageError(text("A file needs a name to be put at"))
        with self._folder(parts[:-1]) as folder:
            self._clear(parts, folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(parts[-1], flags, 0o755 if mode & 0o100 else 0o644, dir_fd=folder)
            with open(handle, "wb") as out:
                if self._owner is not None:
                    os.fchown(handle, *self._owner)
                while piece := file.read(COPY_BYTES):
                    self._left_bytes -= len(piece)
                    self._go_on()
                    if self._left_bytes < 0:
                        raise StageError(
                            text("The files to start with are larger than the attempt's disk limit")
                        )
                    out.write(piece)

    def _clear(self, parts: list[str], folder: int) -> None:
        """Delete a file that was staged earlier at the path `parts`. Raises StageError for a folder, which a file must not replace."""
        try:
            os.unlink(parts[-1], dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StageError(text("{path} is both a file and a folder", path="/".join(parts))) from error

    def _put_folder(self, source: str, parts: list[str]) -> None:
        with self._folder(parts):
            pass
        top = os.open(source, _FOLDER)
        try:
            self._copy_entries(top, parts)
        finally:
            os.close(top)

    def _copy_entries(self, folder: int, parts: list[str]) -> None:
        with os.scandir(folder) as entries:
            content = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries]
        for name, mode in content:
            place = [*parts, name]
            if stat.S_ISLNK(mode):
                self.put_link(place, os.readlink(name, dir_fd=folder))
            elif stat.S_ISDIR(mode):
                with self._folder(place):
                    pass
                inner = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    self._copy_entries(inner, place)
                finally:
                    os.close(inner)
            elif stat.S_ISREG(mode):
                with open(
                    os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb"
                ) as file:
                    self._put_file(place, file, mode)

    def _put_archive(self, source: str, parts: list[str]) -> None:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            self._unpack(file, parts)

    def _unpack(self, file: Any, parts: list[str]) -> None:
        import tarfile  # importing it takes as long as the rest of the supervisor, so only if there is an archive

        with self._folder(parts):
            pass
        try:
            with tarfile.open(fileobj=file, mode="r:*") as archive:
                for member in archive:
                    self._put_member(archive, member, parts)
        except (StageError, Interrupted):
            raise
        except (
            Exception
        ) as error:  # each compression has its own exceptions; gzip's is an OSError without errno
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise StageError(
                text("The archive cannot be unpacked: {reason}", reason=str(error)[:200])
            ) from error

    def _put_member(self, archive: Any, member: Any, parts: list[str]) -> None:
        place = parts + split(member.name)
        if member.isdir():
            with self._folder(place):
                pass
        elif member.isfile():
            file = archive.extractfile(member)
            if file is not None:
                self._put_file(place, file, member.mode)
        elif member.issym():
            if member.linkname.startswith("/"):
                raise StageError(text("{path} leads out of the job's folder", path=member.linkname[:200]))
            split("/".join([*split(member.name)[:-1], member.linkname]), climb=True)
            self.put_link(place, member.linkname)
        elif member.islnk():
            split(member.linkname)
            file = archive.extractfile(member)
            if file is not None:
                self._put_file(place, file, member.mode)
        else:
            raise StageError(
                text("The archive holds {path}, which is neither file nor folder", path=member.name[:200])
            )


def split(path: str, *, climb: bool = False) -> list[str]:
    """Return the parts of a relative path that stays inside its folder. `climb`: allow `..` within it.

    Raises StageError if the path leads outside.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not climb or not parts:
                raise StageError(text("{path} leads out of the job's folder", path=path[:200]))
            parts.pop()
        else:
            parts.append(part)
    if path.startswith("/") or "\0" in path:
        raise StageError(text("{path} leads out of the job's folder", path=path[:200]))
    return parts
