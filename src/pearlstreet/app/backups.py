"""The center's own backup folder: what POST /backups writes and GET /backups lists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError
from pearlstreet.center import BackupFile
from pearlstreet.store import outbox
from pearlstreet.store.backup import backup
from pearlstreet.store.core import Store

FOLDER = "backups"
KEPT = ("blobs",)
"""Subfolders of the data folder that a backup includes; logs and work folders of attempts belong to the engine."""
SUFFIX = ".tar.gz"


def backup_maker(store: Store, data: Path) -> Callable[[str], BackupFile]:
    """Return a function that writes a backup under a given name. A backup never contains the encryption key."""

    def make(name: str) -> BackupFile:
        folder = data / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / (name + SUFFIX)
        try:
            backup(store, data, target, folders=KEPT)
        except Exception as error:
            _tell(store, name, error)
            raise
        return _file(target)

    return make


def _tell(store: Store, name: str, error: Exception) -> None:
    """Emit the event `backup.failed`, so that a failed backup is noticed before it is needed."""
    told = {"name": name, "problem": str(error)[:500] or type(error).__name__}
    with contextlib.suppress(PearlError):
        store.write(lambda tx: outbox.emit(tx, "backup.failed", told))


def backup_lister(data: Path) -> Callable[[], Sequence[BackupFile]]:
    """Return a function that lists the backups in the folder, newest first."""

    def find() -> Sequence[BackupFile]:
        found = [_file(file) for file in (data / FOLDER).glob("*" + SUFFIX)]
        return sorted(found, key=lambda item: (item.at_us, item.name), reverse=True)

    return find


def _file(path: Path) -> BackupFile:
    facts = path.stat()
    return BackupFile(path.name, facts.st_size, int(facts.st_mtime * US_PER_S))
