"""A folder that a job left, and tasks of the stager over it, carried out in this process."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pearlstreet.compute.engines.staging.model import (
    FileRequest,
    StagerResult,
    StagerTask,
    UploadTarget,
    read_result,
    task_json,
)
from pearlstreet.compute.engines.staging.runner.tasks import carry_out
from pearlstreet.objects.folder import FolderBlobs

TENANT = 54321
"""User id of jobs, where the tests run as root."""
IS_ROOT = os.geteuid() == 0


def content(size: int, seed: int = 1) -> bytes:
    """Bytes that are no hole."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Left:
    """A folder with files of a tenant, and a folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self.root, self.notes = folder / "outputs", folder / "notes"
        self.root.mkdir()
        self.notes.mkdir()
        self.blobs = FolderBlobs(folder / "blobs")

    def write(self, path: str, data: bytes) -> Path:
        """A file of the tenant."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if IS_ROOT:
            os.chown(place, TENANT, TENANT)
        return place

    def task(self, action: Any, files: Sequence[FileRequest] = (), **values: Any) -> StagerTask:
        target = UploadTarget(folder=str(self.blobs.upload_folder()))
        return StagerTask("task-1", action, "att_1", files=tuple(files), **{"target": target, **values})

    def run(self, task: StagerTask) -> StagerResult:
        """What the center reads of what the runner wrote."""
        return read_result(task, carry_out(task_json(task, str(self.root), str(self.notes))))

    def put(self, *paths: str) -> StagerResult:
        """Store files at their whole size."""
        return self.run(
            self.task("put", [FileRequest(path, (self.root / path).lstat().st_size) for path in paths])
        )

    def save(self, **values: Any) -> StagerResult:
        """Save the folder as a checkpoint."""
        return self.run(self.task("save", is_checkpoint=True, **values))

    def blob(self, name: str) -> bytes:
        """A stored blob, verified."""
        return b"".join(self.blobs.read(name))
