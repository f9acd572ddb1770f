"""Writes the files of a plan into a folder: secrets that are there stay, and what would change is known before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.clusters.keys import DATABASE_PASSWORD, JWT_KEY, MUNGE_KEY
from pearlstreet.compute.clusters.model import ClusterPlan, PlannedFile


@dataclass(frozen=True, slots=True)
class Changes:
    """What writing a plan would do to a folder, by file name."""

    new: Sequence[str]
    changed: Sequence[str]
    unchanged: Sequence[str]


def kept_keys(folder: Path) -> dict[str, PlannedFile]:
    """Return the secrets that a folder holds: those of a running cluster must stay. Raises ConfigurationError."""
    found = {}
    for name in (MUNGE_KEY, JWT_KEY, DATABASE_PASSWORD):
        content = _read(folder / name)
        if content:
            found[name] = PlannedFile(content, mode=0o600, is_secret=True)
    return found


def changes(folder: Path, plan: ClusterPlan) -> Changes:
    """Return what writing would change. Raises ConfigurationError for files that cannot be read."""
    before = {name: _read(folder / name) for name in plan.files}
    return Changes(
        new=[name for name, content in before.items() if content is None],
        changed=[
            name
            for name, content in before.items()
            if content is not None and content != plan.files[name].content
        ],
        unchanged=[name for name, content in before.items() if content == plan.files[name].content],
    )


def write(folder: Path, files: Mapping[str, PlannedFile]) -> None:
    """Write files, each whole or not at all, readable as their mode says. Raises ConfigurationError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, file in files.items():
            _replace(folder / name, file)
    except OSError as error:
        raise ConfigurationError(
            text("{folder} cannot be written: {problem}", folder=str(folder), problem=error.strerror or "")
        ) from None


def _replace(path: Path, file: PlannedFile) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with open(handle, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.chmod(file.mode)
    beside.replace(path)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            text("{file} cannot be read: {problem}", file=str(path), problem=error.strerror or "")
        ) from None
