"""Container images on the local engine: the unpacked file system of an image takes the place of the host's in the sandbox.

The walls stay the same as without an image: namespaces, user, limits and system call filter. The image is read-only.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from pearlstreet.base.outcome import Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptOrder
from pearlstreet.workload.environments.images import MOUNT_FILES, MOUNT_FOLDERS, TOOLS

OURS = frozenset({"dev", "pearl", "proc", "run", "sys", "tmp"})
"""Folders at the root of every sandbox that an image cannot replace."""
ENTRIES_MAX = 200


def can_fetch() -> bool:
    """Return whether this machine has the programs that fetch and unpack images."""
    return all(shutil.which(tool) is not None for tool in TOOLS)


def image_refusal(order: AttemptOrder, sandbox: str) -> Refused | None:
    """Return why an order's image cannot be used behind `sandbox`, or None."""
    if order.image is None:
        return None
    if sandbox != "bubblewrap":
        return Refused("no_images", text("Container images need bubblewrap, which does not work here"))
    root = Path(order.image_folder)
    if not order.image_folder or not root.is_dir():
        return Refused("image_missing", text("The image {image} is not on this node", image=order.image))
    flawed = _flaw(root)
    if flawed is None:
        targets = [mount.target for mount in order.mounts] + [binding.target for binding in order.bindings]
        flawed = next((target for target in targets if not is_mountable(root, target)), None)
    if flawed is not None:
        return Refused(
            "bad_image",
            text(
                "Nothing can be mounted at {path} of the image {image}: it has no such folder, or a link on the way",
                path=flawed[:200],
                image=order.image,
            ),
        )
    return None


def _flaw(root: Path) -> str | None:
    """Return a path of the image that is not what the sandbox mounts over, such as a link; None: all are."""
    wanted = [(name, stat.S_IFDIR) for name in MOUNT_FOLDERS] + [(name, stat.S_IFREG) for name in MOUNT_FILES]
    return next((f"/{name}" for name, kind in wanted if _kind(root / name) != kind), None)


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0


def is_mountable(root: Path, target: str) -> bool:
    """Return whether a path can be mounted over in the sandbox of an image.

    At the root and in our own folders anything can be created; elsewhere the image must have the path, without links on the way.
    """
    parts = PurePosixPath(target).parts[1:]
    if not parts or parts[0] in OURS:
        return bool(parts)
    path, kind = root, 0
    for number, part in enumerate(parts):
        path = path / part
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError:
            return number == 0
        except OSError:
            return False
        if stat.S_ISLNK(kind) or (number < len(parts) - 1 and not stat.S_ISDIR(kind)):
            return False
    return True


def top_level(root: Path) -> list[tuple[str, str | None]]:
    """Return the folders and links at the root of an image, sorted: name, and the target of a link. Raises OSError."""
    found: list[tuple[str, str | None]] = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name)[:ENTRIES_MAX]:
        if entry.name in OURS:
            continue
        if entry.is_symlink():
            found.append((entry.name, str(Path(entry.path).readlink())))
        elif entry.is_dir():
            found.append((entry.name, None))
    return found
