"""Checkpoint folders of the local engine: one for each owner, beside the folders of attempts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pearlstreet.compute.engines.local import clearing
from pearlstreet.compute.engines.local.folders import CHECKPOINT_INSIDE, Folders
from pearlstreet.compute.engines.local.supervisor.checkpoint import is_unfinished, saved_us
from pearlstreet.compute.engines.local.supervisor.disk import DiskWalk
from pearlstreet.compute.engines.orders import plain_id
from pearlstreet.compute.engines.protocol import AttemptOrder, CheckpointEntry, Mount

VARIABLE = "PEARL_CHECKPOINT"
ENTRIES_MAX = 1_000
"""Entries that a listing names."""
FILES_MAX = 20_000
"""Files of a folder whose sizes are added up, so that nobody keeps the server busy with listings."""
MEASURED_S = 300.0
_UNLIMITED = 1 << 62


def with_checkpoint(order: AttemptOrder, folders: Folders) -> AttemptOrder:
    """Return the order with its owner's checkpoint folder as a writable mount and as `$PEARL_CHECKPOINT`."""
    if not order.checkpoint:
        return order
    folder = folders.checkpoint(order.checkpoint)
    mount = Mount(str(folder), CHECKPOINT_INSIDE, writable=True)
    variables = {**order.variables, VARIABLE: CHECKPOINT_INSIDE}
    return replace(order, mounts=(*order.mounts, mount), variables=variables)


def make_folder(folders: Folders, key: str) -> None:
    """Create the checkpoint folder of an owner if there is none. Raises OSError."""
    folders.checkpoints.mkdir(parents=True, exist_ok=True)
    folders.checkpoints.chmod(
        folders.root.stat().st_mode & 0o711
    )  # a user of jobs must pass where it must pass the root
    folders.checkpoint(key).mkdir(mode=0o700, exist_ok=True)


def list_entries(folders: Folders, key: str) -> list[CheckpointEntry]:
    """Return what is in place in an owner's checkpoint folder, newest first; [] if there is none."""
    found: list[CheckpointEntry] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folders.checkpoint(key)) as entries:
        for entry in entries:
            if is_unfinished(entry.name) or len(found) >= ENTRIES_MAX:
                continue
            with contextlib.suppress(FileNotFoundError):
                own_us = entry.stat(follow_symlinks=False).st_ctime_ns // 1000
                inner_us = saved_us(entry.path) if entry.is_dir(follow_symlinks=False) else None
                name = entry.name.encode("utf-8", "replace").decode()
                found.append(CheckpointEntry(name, _size_bytes(entry.path), inner_us or own_us))
    return sorted(found, key=lambda entry: (-entry.saved_us, entry.name))


def _size_bytes(path: str) -> int:
    if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114
        return os.lstat(path).st_size
    walk = DiskWalk(_UNLIMITED, FILES_MAX)
    walk.add([path])
    return walk.count.counted_bytes


@dataclass(slots=True)
class Sizes:
    """Sizes of all checkpoint folders, each measured again after MEASURED_S."""

    measured: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Time of the measurement (monotonic s) and size in bytes by key."""

    def read(self, folders: Folders, now_s: float) -> Mapping[str, int]:
        """Return the size in bytes of each folder by key; at most MEASURED_S old."""
        keys: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            keys = sorted(path.name for path in folders.checkpoints.iterdir())
        known = {key: self.measured[key] for key in keys if key in self.measured}
        for key in keys:
            if key not in known or now_s - known[key][0] > MEASURED_S:
                known[key] = (now_s, _size_bytes(str(folders.checkpoint(key))))
        self.measured = known
        return {key: size for key, (_, size) in known.items()}


def delete(folders: Folders, key: str) -> None:
    """Delete an owner's checkpoint folder. Raises OSError."""
    for folder in (folders.checkpoint(key), folders.notes(key)) if plain_id(key) else ():
        if folder.exists():
            clearing.delete_tree(folder, folders.trash)
