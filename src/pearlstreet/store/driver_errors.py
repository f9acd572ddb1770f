"""Translation of database drivers' errors: failures of disk, lock or connection become Unavailable, damaged files and
wrong settings ConfigurationError. It uses only error codes, because error messages may quote a tenant's data.

SQLite's codes: sqlite.org/rescode.html. PostgreSQL's: appendix A of its manual (SQLSTATE classes 08, 40, 53, 55, 57).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pearlstreet.base.errors import ConfigurationError, PearlError, Unavailable, check
from pearlstreet.base.text import text

_READ_ONLY_STATE = "25006"
_BUSY_STATES = frozenset({"40001", "40P01", "55P03", "53300"})


class StoreUnavailable(Unavailable):
    """The database cannot be read or written now."""


@contextmanager
def translated(*, reading: bool = False) -> Iterator[None]:
    """Translate the drivers' errors about disk, lock and connection, and let other errors pass.

    With `reading` the transaction is read-only, so a refused write is a bug and not a write-protected disk.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        check(not (reading and _writes(error)), "a query writes nothing")
        problem = _known_problem(error)
        if problem is None:
            raise
        raise problem from error
    except sa.exc.TimeoutError as error:
        raise _busy() from error


def _writes(error: sa.exc.DBAPIError) -> bool:
    """Return whether the driver refused a write in a read-only transaction."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY
    return getattr(error.orig, "sqlstate", None) == _READ_ONLY_STATE


def _known_problem(error: sa.exc.DBAPIError) -> PearlError | None:
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_problem(error.orig)
    return _postgres_problem(error)


def _sqlite_problem(error: sqlite3.Error) -> PearlError | None:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _disk_full()
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy()
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM:
            return StoreUnavailable(
                text(
                    "The disk that holds the database fails: {problem}; nothing was changed",
                    problem=str(error),
                ),
                hint=text("Check the disk and the system log, then repeat the command"),
                retry_after_s=30,
            )
        case sqlite3.SQLITE_READONLY:
            return StoreUnavailable(
                text("The database cannot be written: {problem}", problem=str(error)),
                hint=text("Give the server's user write access to the data folder"),
                retry_after_s=30,
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return ConfigurationError(
                text("The database file is damaged: {problem}", problem=str(error)),
                hint=text("Stop the server and restore the last backup: pearl restore FILE"),
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return ConfigurationError(
                text("The database cannot be opened: {problem}", problem=str(error)),
                hint=text("Give the server's user write access to the data folder"),
            )
    return None


def _postgres_problem(error: sa.exc.DBAPIError) -> PearlError | None:
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == "53100":
        return _disk_full()
    if state == _READ_ONLY_STATE:
        return StoreUnavailable(
            text("The database cannot be written: {problem}", problem=str(error.orig)),
            hint=text("Point the database URL at the primary server, not at a read-only copy"),
            retry_after_s=30,
        )
    if state in _BUSY_STATES:
        return _busy()
    if state.startswith("28") or state == "3D000":
        return ConfigurationError(
            text(
                "PostgreSQL refused the sign-in or has no such database: {problem}", problem=str(error.orig)
            ),
            hint=text("Check user, password and database name in the database URL"),
        )
    gone = state.startswith(("08", "53", "57P", "58")) or (
        not state and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    )
    if error.connection_invalidated or gone:
        return StoreUnavailable(
            text("The database does not answer"),
            hint=text("Check that PostgreSQL runs and can be reached; the server then continues by itself"),
            retry_after_s=5,
        )
    return None


def _disk_full() -> StoreUnavailable:
    return StoreUnavailable(
        text("The disk that holds the database is full; nothing was changed"),
        hint=text("Free space on the data folder's disk, then repeat the command"),
        retry_after_s=30,
    )


def _busy() -> StoreUnavailable:
    return StoreUnavailable(text("The database is busy"), retry_after_s=1)
