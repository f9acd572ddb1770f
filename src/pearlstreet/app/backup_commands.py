"""Backup and restore of a whole center, with the proof of its books on the copy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from pearlstreet.app.backups import KEPT
from pearlstreet.app.settings import Settings, load_settings
from pearlstreet.app.state import running
from pearlstreet.app.wiring import open_store
from pearlstreet.base.clock import SystemClock
from pearlstreet.base.errors import ConfigurationError, Conflict, InvalidInput
from pearlstreet.base.rng import SystemRng
from pearlstreet.base.text import Text, text
from pearlstreet.ledger.proof import ProofReport, prove
from pearlstreet.store import audit
from pearlstreet.store.backup import BackupReport, backup
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.keyring import read_key_file, unlock
from pearlstreet.store.restore import restore
from pearlstreet.store.sealing import Sealer
from pearlstreet.tenancy.bootstrap import recover

KEY = "secret.key"


def make_backup(settings: Settings, file: Path, *, with_key: bool = False) -> BackupReport:
    """Copy a center, running or not, into one file. Raises ConfigurationError, Unavailable."""
    store = unlock(
        Store(Database(settings.database_url), clock=SystemClock(), rng=SystemRng()), settings.data / KEY
    )
    try:
        return backup_store(store, settings.data, file, with_key=with_key)
    finally:
        store.close()


def recover_security(data: Path) -> str:
    """Return a one-day key of a security operator, made from the data folder. Raises ConfigurationError."""
    database = Database(load_settings(data, {}).database_url)
    store = unlock(Store(database, clock=SystemClock(), rng=SystemRng()), data / KEY)
    try:
        return recover(store).credential
    finally:
        store.close()


def backup_store(store: Store, data: Path, file: Path, *, with_key: bool = False) -> BackupReport:
    """Copy a center into one file, as `make_backup` does, through a store that is already open."""
    key_file = data / KEY if with_key else None
    return backup(store, data, file.absolute(), folders=KEPT, key_file=key_file, with_key=with_key)


def restore_backup(settings: Settings, file: Path, *, key_file: Path | None, force: bool) -> Text:
    """Put a center back, then prove its books and verify its audit log on the copy.

    With `force` an existing data folder is first renamed, never deleted. Raises InvalidInput, Conflict, ConfigurationError.
    """
    if running(settings.data) is not None:
        raise Conflict(
            text("A center runs from {folder}", folder=str(settings.data)), hint=text("pearl down ends it")
        )
    if not file.is_file():
        raise InvalidInput(text("The backup {file} does not exist", file=str(file)))
    was_empty = not settings.data.exists() or not any(settings.data.iterdir())
    sealer = Sealer(read_key_file(key_file), SystemRng()) if key_file is not None else None
    aside = _move_aside(settings.data) if force and settings.data.exists() else None
    try:
        database = Database(settings.database_url) if settings.database else None
        try:
            restore(file, settings.data, sealer=sealer, database=database)
        finally:
            if database is not None:
                database.close()
        if key_file is not None and not (settings.data / KEY).exists():
            shutil.copyfile(key_file, settings.data / KEY)
            (settings.data / KEY).chmod(0o600)
        return _prove(settings)
    except BaseException as error:
        if aside is not None or was_empty:
            shutil.rmtree(settings.data, ignore_errors=True)
        if aside is not None:
            aside.rename(settings.data)
        if isinstance(error, ConfigurationError) and key_file is None:
            hint = text(
                "The backup has no key: give the center's secret.key with --key-file; nothing was changed"
            )
            raise ConfigurationError(error.message, hint=hint) from None
        raise


def _move_aside(data: Path) -> Path:
    number = 1
    while (aside := data.with_name(f"{data.name}.before-restore-{number}")).exists():
        number += 1
    return data.rename(aside)


def _prove(settings: Settings) -> Text:
    store = open_store(
        replace(settings, copy_before_upgrade=False)
    )  # no copy is needed, since the backup exists
    try:
        books: ProofReport = store.read(prove)
        chain = store.read(audit.verify)
    finally:
        store.close()
    if not books.is_right:
        raise Conflict(text("The restored books are not right: {problem}", problem=books.problem or ""))
    if chain.problem is not None:
        raise Conflict(text("The restored audit log is not right: {problem}", problem=chain.problem))
    return text(
        "The books are proved ({rows} rows) and the audit log is whole ({lines} lines)",
        rows=sum(books.checked.values()),
        lines=chain.rows,
    )
