"""Names in checkpoint folders that say that a file or folder is being written."""

from __future__ import annotations

UNFINISHED = (".tmp", ".partial")


def is_unfinished(name: str) -> bool:
    """Return whether a name says that its file or folder is being written."""
    return name.endswith(UNFINISHED)


def is_in_place(path: str) -> bool:
    """Return whether a path, relative to a checkpoint folder, is not being written: names count at the top and one level below."""
    return not any(is_unfinished(part) for part in path.split("/")[:2])
