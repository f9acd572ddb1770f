"""Checkpoint folders of the local engine: one for each owner, beside the folders of attempts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pearlstreet.compute.engines.local import clearing
from pearlstreet.compute.engines.local.folders import CHECKPOINT_INSIDE, Folders
from pearlstreet.compute.engines.local.supervisor.checkpoint import is_unfinished, saved_us
from pearlstreet.compute.engines.local.supervisor.disk import DiskWalk
from pearlstreet.compute.engines.orders import plain_id
from pearlstreet.compute.engines.protocol import AttemptOrder, CheckpointEntry, Mount

VARIABLE = "PEARL_CHECKPOINT"
ENTRIES_MAX = 1_000
"""Entries that a listing names."""
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
    walk = DiskWalk(_UNLIMITED, _UNLIMITED)
    walk.add([path])
    return walk.count.counted_bytes


def keys(folders: Folders) -> Sequence[str]:
    """Return the keys of all owners that have a checkpoint folder."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in folders.checkpoints.iterdir())
    return ()


def delete(folders: Folders, key: str) -> None:
    """Delete an owner's checkpoint folder. Raises OSError."""
    folder: Path = folders.checkpoint(key)
    if plain_id(key) and folder.exists():
        clearing.delete_tree(folder, folders.trash)
