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
"""Folders of the data folder that a backup holds; logs and work folders of attempts are the engine's."""
SUFFIX = ".tar.gz"


def backup_maker(store: Store, data: Path) -> Callable[[str], BackupFile]:
    """What makes a backup under a name. The key is never part of it."""

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
    """Whoever asked may not look: a backup that is missing is noticed when it is needed."""
    told = {"name": name, "problem": str(error)[:500] or type(error).__name__}
    with contextlib.suppress(PearlError):
        store.write(lambda tx: outbox.emit(tx, "backup.failed", told))


def backup_lister(data: Path) -> Callable[[], Sequence[BackupFile]]:
    """What lists the backups of the folder, newest first."""

    def find() -> Sequence[BackupFile]:
        found = [_file(file) for file in (data / FOLDER).glob("*" + SUFFIX)]
        return sorted(found, key=lambda item: (item.at_us, item.name), reverse=True)

    return find


def _file(path: Path) -> BackupFile:
    facts = path.stat()
    return BackupFile(path.name, facts.st_size, int(facts.st_mtime * US_PER_S))
