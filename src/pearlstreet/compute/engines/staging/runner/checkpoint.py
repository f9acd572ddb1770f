"""Saves a checkpoint folder incrementally, and restores one. Only entries in place count; each is kept whole or not at all.

An entry is a file or folder at the top. One that changes while it is read is left out of the manifest of this save.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from .folder_upload import BlobFolder, Changed, digest_of, is_same
from .inputs import InputWriter, split
from .names import is_in_place
from .records import read_json, text, write_json
from .tree import FOLDER, TooMany, opened, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ENTRIES_MAX = 100_000
TARGET_MAX = 4096
"""Longest target of a link, in characters."""
INDEX = "index.json"
RESTORING, REPLACED = "restoring", "replaced"
NS_PER_US = 1000


class _Manifest:
    """Files, folders and links in place, and the entries that cannot be kept now."""

    def __init__(self, index: dict[str, Any]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.left_out: set[str] = set()
        self.index: dict[str, Any] = {}
        self.saved_us = 0
        self.sent_bytes = 0
        self._known = index

    def sha256_of(self, path: str, stats: os.stat_result) -> str:
        """Return the SHA-256 of a file that has not changed since an earlier save; empty if it has."""
        known = self._known.get(path)
        return str(known[-1]) if known and known[:-1] == _identity(stats) else ""

    def add(self, path: str, stats: os.stat_result, sha256: str) -> None:
        """Add a file whose bytes have this SHA-256."""
        mode = stats.st_mode & 0o100
        self.lines.append(_line(path, "file", size_bytes=stats.st_size, sha256=sha256, executable=bool(mode)))
        self.index[path] = [*_identity(stats), sha256]
        self.saved_us = max(self.saved_us, stats.st_ctime_ns // NS_PER_US)


class TooLarge(Exception):
    """Raised if a checkpoint folder has more bytes than may be kept."""


def save(top: int, task: dict[str, Any], folder: BlobFolder | None) -> dict[str, Any]:
    """Return the manifest of the open checkpoint folder `top`; with a blob folder its new files are stored there. Raises OSError."""
    index = read_json(task["notes"], INDEX) or {}
    manifest = _Manifest(index)
    try:
        _add_all(top, task, folder, manifest)
    except TooMany:
        return {"problem": text("the checkpoint folder has more than {most} files", most=task["files_max"])}
    except TooLarge:
        return {"problem": text("the checkpoint folder is larger than its limit")}
    lines = [line for line in manifest.lines if line["path"].split("/")[0] not in manifest.left_out]
    write_json(task["notes"], INDEX, manifest.index, sync=False)
    return {
        "files": lines,
        "left_out": sorted(manifest.left_out),
        "saved_us": manifest.saved_us,
        "sent_bytes": manifest.sent_bytes,
    }


def _add_all(top: int, task: dict[str, Any], folder: BlobFolder | None, manifest: _Manifest) -> None:
    left_bytes = task["bytes_max"]
    for path, stats, target in walk(top, is_in_place, ENTRIES_MAX):
        if len(manifest.lines) >= task["files_max"]:
            raise TooMany
        entry = path.split("/")[0]
        if not _is_text(path) or not _is_text(target) or len(path) > task["path_max"]:
            manifest.left_out.add(entry)
        elif stat.S_ISDIR(stats.st_mode):
            manifest.lines.append(_line(path, "folder"))
        elif stat.S_ISLNK(stats.st_mode) and 0 < len(target) <= TARGET_MAX:
            manifest.lines.append(_line(path, "link", target=target))
        elif stat.S_ISREG(stats.st_mode) and entry not in manifest.left_out:
            left_bytes -= stats.st_size
            if left_bytes < 0:  # before anything is read: a sparse file may seem to be larger than every disk
                raise TooLarge
            _add_file(top, path, stats, folder, manifest)


def _add_file(
    top: int, path: str, stats: os.stat_result, folder: BlobFolder | None, manifest: _Manifest
) -> None:
    sha256 = manifest.sha256_of(path, stats)
    if sha256 and (folder is None or folder.has(sha256, stats.st_size)):
        manifest.add(path, stats, sha256)
        return
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(opened(top, path))
        except (OSError, ValueError):
            manifest.left_out.add(path.split("/")[0])
            return
        before = os.fstat(handle)
        if not is_same(stats, before):
            manifest.left_out.add(path.split("/")[0])
            return
        try:
            if folder is None:
                sha256, size = digest_of(handle, before.st_size)
            else:
                sha256, size = folder.put(handle, before.st_size, may_link=False)
                manifest.sent_bytes += size
        except Changed:
            size = -1
        if size != before.st_size or not is_same(before, os.fstat(handle)):
            manifest.left_out.add(path.split("/")[0])
            return
        manifest.add(path, before, sha256)


def _identity(stats: os.stat_result) -> list[int]:
    return [stats.st_size, stats.st_ctime_ns, stats.st_ino, stats.st_dev]


def _line(path: str, kind: str, **values: object) -> dict[str, Any]:
    return {
        "path": path,
        "kind": kind,
        "size_bytes": 0,
        "sha256": "",
        "executable": False,
        "target": "",
    } | values


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def restore(
    folder: str,
    scratch: str,
    lines: list[dict[str, Any]],
    owner: tuple[int, int] | None,
    budget_bytes: int,
    interrupted: Callable[[], bool],
) -> None:
    """Replace a checkpoint folder by what a manifest lists. It is swapped when all is there, so it is never half restored.

    Files that the folder has already are not fetched. `scratch`: folder on the same file system that no job may see. Raises
    StageError, Interrupted, OSError.
    """
    fresh, old = f"{scratch}/{RESTORING}", f"{scratch}/{REPLACED}"
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    os.mkdir(fresh, 0o700)
    writer = InputWriter(fresh, owner, budget_bytes, interrupted)
    try:
        for line in sorted(lines, key=lambda line: line["kind"] != "folder"):
            parts = split(line["path"])
            if line["kind"] == "folder":
                writer.make_folder(parts)
            elif line["kind"] == "link":
                writer.put_link(parts, line["target"])
            elif not _reuse(folder, writer, line, parts):
                writer.put_blob(line["source"], parts, executable=line["executable"])
    finally:
        writer.close()
    if os.path.lexists(folder):
        os.rename(folder, old)
    os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def _reuse(folder: str, writer: InputWriter, line: dict[str, Any], parts: list[str]) -> bool:
    """Link a file of the old folder into the new one if it has the same bytes; return whether it does."""
    with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
        top = os.open(folder, FOLDER)
        stack.callback(os.close, top)
        handle = stack.enter_context(opened(top, line["path"]))
        stats = os.fstat(handle)
        if stats.st_size != line["size_bytes"] or bool(stats.st_mode & 0o100) != line["executable"]:
            return False
        if digest_of(handle, stats.st_size)[0] != line["sha256"]:
            return False
        writer.put_same(handle, parts)
        return True
    return False
