"""Tasks of the stager and what it answers, as values. What a manifest says is checked here before anything relies on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from pearlstreet.base.text import Text, from_json, text
from pearlstreet.objects.model import BlobReference, UploadGrant

Action = Literal["hash", "put", "save"]
EntryKind = Literal["file", "folder", "link"]
PATH_MAX = 1024
LINK_MAX = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file in the outputs of an attempt or in a checkpoint folder, at most whose first `size_bytes` are read."""

    path: str
    size_bytes: int
    sha256: str = ""
    """Digest that it must have; empty: any."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where the stager puts files: a blob folder that it reaches, or signed addresses for files of known digest."""

    folder: str = ""
    grants: Mapping[str, UploadGrant] = field(default_factory=dict)
    """Grants by SHA-256; a file without one is stored already."""


@dataclass(frozen=True, slots=True)
class StagerTask:
    """One task of the stager.

    `hash`: digests of files in an attempt's outputs. `put`: store such files. `save`: manifest of a checkpoint folder, whose new
    files are stored at once if the target is a folder.
    """

    task_id: str
    """Name that is unique among the tasks of the same subject."""
    action: Action
    subject: str
    """Id of an ended attempt, or key of a checkpoint folder."""
    is_checkpoint: bool = False
    """Whether the subject is a checkpoint folder."""
    files: tuple[FileRequest, ...] = ()
    target: UploadTarget = UploadTarget()
    files_max: int = 10_000
    bytes_max: int = 1 << 62


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file, folder or link as the stager found it."""

    path: str
    size_bytes: int = 0
    sha256: str = ""
    problem: Text | None = None
    """Reason why it can never be stored; None: it is stored, or its digest is known."""
    kind: EntryKind = "file"
    executable: bool = False
    link_target: str = ""


@dataclass(frozen=True, slots=True)
class StagerResult:
    """What the stager did."""

    files: tuple[StagedFile, ...] = ()
    again: Text | None = None
    """Reason why the task must be repeated; None: it is done for good."""
    problem: Text | None = None
    """Reason why the whole task is impossible."""
    left_out: tuple[str, ...] = ()
    """Entries of a checkpoint that changed while they were read."""
    saved_us: int = 0
    """Time at which a file of the checkpoint last changed, in µs since 1970."""
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StagerReport:
    """State of a task; `result` once it is `done`."""

    state: Literal["absent", "running", "done"]
    result: StagerResult | None = None


@dataclass(frozen=True, slots=True)
class RestoredEntry:
    """A file, folder or link that is put into a checkpoint folder before an attempt starts."""

    path: str
    kind: EntryKind
    source: BlobReference | None = None
    """Bytes of a file."""
    executable: bool = False
    link_target: str = ""


def task_json(task: StagerTask, root: str, notes: str) -> dict[str, Any]:
    """Return what the runner reads. `root`: the folder with the files; `notes`: folder for what it remembers of a checkpoint."""
    return {
        "task_id": task.task_id,
        "action": task.action,
        "root": root,
        "notes": notes,
        "may_link": not task.is_checkpoint,
        "files": [
            {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in task.files
        ],
        "target": {
            "folder": task.target.folder,
            "grants": {name: _grant_json(grant) for name, grant in task.target.grants.items()},
        },
        "files_max": task.files_max,
        "bytes_max": task.bytes_max,
        "path_max": PATH_MAX,
    }


def _grant_json(grant: UploadGrant) -> dict[str, Any]:
    return {
        "sha256": grant.sha256,
        "size_bytes": grant.size_bytes,
        "part_bytes": grant.part_bytes,
        "parts": list(grant.parts),
        "complete": grant.complete,
        "abort": grant.abort,
    }


def source_json(source: str | BlobReference) -> object:
    """Return a source as the runner reads it: a path, or what a stored file is."""
    if isinstance(source, str):
        return source
    return {
        "sha256": source.sha256,
        "size_bytes": source.size_bytes,
        "path": source.path,
        "url": source.url,
    }


def restored_json(entry: RestoredEntry) -> dict[str, Any]:
    """Return a restored entry as the runner reads it."""
    source = entry.source
    return {
        "path": entry.path,
        "kind": entry.kind,
        "executable": entry.executable,
        "target": entry.link_target,
        "sha256": source.sha256 if source else "",
        "size_bytes": source.size_bytes if source else 0,
        "source": source_json(source) if source else None,
    }


def read_result(task: StagerTask, value: Mapping[str, Any]) -> StagerResult:
    """Return the result that a runner wrote for a task, of which nothing is believed that the task did not allow.

    What is impossible makes the result one that must be repeated.
    """
    try:
        files = tuple(_file(line) for line in value["files"])
        result = StagerResult(
            files,
            _text(value.get("again")),
            _text(value.get("problem")),
            tuple(str(name) for name in value.get("left_out", ())),
            int(value.get("saved_us", 0)),
            int(value.get("sent_bytes", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return StagerResult(again=text("The stager's manifest cannot be read"))
    if result.again is None and result.problem is None and not _is_credible(task, result):
        return StagerResult(again=text("The stager's manifest does not match its task"))
    return result


def _text(value: object) -> Text | None:
    return from_json(value) if isinstance(value, dict) else None


def _file(line: Mapping[str, Any]) -> StagedFile:
    kind = line.get("kind", "file")
    if kind not in ("file", "folder", "link"):
        raise ValueError(kind)
    return StagedFile(
        path=str(line["path"]),
        size_bytes=int(line["size_bytes"]),
        sha256=str(line["sha256"]),
        problem=_text(line.get("problem")),
        kind=kind,
        executable=bool(line.get("executable", False)),
        link_target=str(line.get("target", "")),
    )


def _is_credible(task: StagerTask, result: StagerResult) -> bool:
    if task.action == "save":
        return _is_tree(task, result.files)
    if [file.path for file in result.files] != [file.path for file in task.files]:
        return False
    return all(
        file.problem is not None
        or (
            _DIGEST.fullmatch(file.sha256) is not None
            and 0 <= file.size_bytes <= wanted.size_bytes
            and wanted.sha256 in ("", file.sha256)
        )
        for file, wanted in zip(result.files, task.files, strict=True)
    )


def _is_tree(task: StagerTask, files: Sequence[StagedFile]) -> bool:
    """Return whether the lines are a tree within the limits: plain relative paths, each once, beneath folders only."""
    kinds = {file.path: file.kind for file in files}
    if len(kinds) != len(files) or len(files) > task.files_max:
        return False
    for file in files:
        path = PurePosixPath(file.path)
        if str(path) != file.path or path.is_absolute() or len(file.path) > PATH_MAX or "\0" in file.path:
            return False
        if any(part in ("..", ".") for part in path.parts):
            return False
        if any(kinds.get(str(parent)) != "folder" for parent in list(path.parents)[:-1]):
            return False
        if file.kind == "file" and (_DIGEST.fullmatch(file.sha256) is None or file.size_bytes < 0):
            return False
        if file.kind == "link" and not 0 < len(file.link_target) <= LINK_MAX:
            return False
    return sum(file.size_bytes for file in files) <= task.bytes_max
