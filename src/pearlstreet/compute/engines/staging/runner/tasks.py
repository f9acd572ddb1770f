"""Carries out one task of the stager: digests of files, their upload, and the save of a checkpoint folder. Returns its manifest.

The manifest is written outside every sandbox. What the tenant's code left is only read, through `tree`.
"""

from __future__ import annotations

import contextlib
import os

from . import checkpoint
from .folder_upload import BlobFolder, Changed, digest_of
from .records import text
from .signed_upload import upload
from .tree import FOLDER, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Target:
    """Where files are put: a folder of blobs, or signed addresses for those that are not stored yet."""

    def __init__(self, target: dict[str, Any], name: str) -> None:
        self._grants: dict[str, Any] = target.get("grants") or {}
        self.folder = BlobFolder(target["folder"], name) if target.get("folder") else None

    def put(self, handle: int, size_bytes: int, expected: str, *, may_link: bool) -> tuple[str, int]:
        """Store an open file and return its SHA-256 and size. Raises OSError."""
        if self.folder is not None:
            return self.folder.put(handle, size_bytes, may_link=may_link, expected=expected)
        grant = self._grants.get(expected)
        if grant is not None:
            upload(handle, grant)
        return expected, size_bytes


def carry_out(task: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a task: `files`, each stored or with the `problem` of it, and `again` if it must be repeated."""
    result: dict[str, Any] = {"task_id": task["task_id"], "files": [], "again": None}
    try:
        top = os.open(task["root"], FOLDER)
    except FileNotFoundError:
        gone = {"size_bytes": 0, "sha256": "", "problem": text("the folder is gone")}
        lines = [] if task["action"] == "save" else [{"path": file["path"], **gone} for file in task["files"]]
        return result | {"files": lines}
    try:
        target = Target(task.get("target") or {}, f"{task['task_id']}-{os.getpid()}")
        if task["action"] == "save":
            result |= checkpoint.save(top, task, target.folder)
        else:
            for file in task["files"]:
                result["files"].append(_handle(top, task, target, file))
    except OSError as error:
        result["again"] = text("{problem}", problem=str(error.strerror or error)[:200])
    finally:
        os.close(top)
    return result


def _handle(top: int, task: dict[str, Any], target: Target, file: dict[str, Any]) -> dict[str, Any]:
    """Return the line of the manifest for one file. Raises OSError if the store is at fault, not the file."""
    line = {"path": file["path"], "size_bytes": 0, "sha256": ""}
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(opened(top, file["path"]))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return line | {"problem": text("{problem}", problem=str(reason)[:200])}
        try:
            if task["action"] == "hash":
                line["sha256"], line["size_bytes"] = digest_of(handle, file["size_bytes"])
            else:
                line["sha256"], line["size_bytes"] = target.put(
                    handle, file["size_bytes"], file.get("sha256", ""), may_link=bool(task.get("may_link"))
                )
        except Changed:
            return line | {"problem": text("it changed while it was stored")}
    return line
