"""The two connection pools of a database: one for the writer, one for readers that cannot write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text

READERS = 8
READERS_MAX = 64
"""Number of reader connections kept open (`READERS`), and the largest number opened under load."""
WAL_LIMIT_BYTES = 64 << 20
"""Size to which SQLite's write-ahead log is truncated after a checkpoint."""
STATEMENTS_CACHED = 1024
"""Prepared statements cached by each SQLite connection. With the driver's default of 128 most were prepared at each use."""
CONNECT_S = 10
MUST_BE_SYNCED = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""SQL that switches `synchronous_commit` on. Without it PostgreSQL acknowledges commits, and shows them to readers, that
a crash of its machine would lose."""


def make_engines(url: URL, *, memory: bool, busy_s: float) -> tuple[sa.Engine, sa.Engine]:
    """Return the engines (writer, readers) for `url`, the same one twice for a database in memory.

    Raises ConfigurationError for an unsupported URL scheme or a missing folder.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite_engines(url, memory, busy_s)
    if backend == "postgresql":
        return _postgres_engines(url, busy_s)
    raise ConfigurationError(
        text("The database URL scheme {scheme} is not supported", scheme=backend),
        hint=text("Use sqlite:////absolute/path/pearl.db or postgresql://user@host/name"),
    )


def _sqlite_engines(url: URL, memory: bool, busy_s: float) -> tuple[sa.Engine, sa.Engine]:
    options: dict[str, object] = {
        "isolation_level": "AUTOCOMMIT",
        "connect_args": {
            "check_same_thread": False,
            "timeout": busy_s,
            "cached_statements": STATEMENTS_CACHED,
        },
    }
    if memory:
        engine = sa.create_engine(url, poolclass=sa.pool.StaticPool, **options)
        sa.event.listen(engine, "connect", _prepare_sqlite_writer)
        return engine, engine
    _check_folder(url)
    writer = sa.create_engine(url, pool_size=1, max_overflow=READERS, **options)
    sa.event.listen(writer, "connect", _prepare_sqlite_writer)
    readers = sa.create_engine(url, pool_size=READERS, max_overflow=READERS_MAX - READERS, **options)
    sa.event.listen(readers, "connect", _prepare_sqlite_reader)
    return writer, readers


def _postgres_engines(url: URL, busy_s: float) -> tuple[sa.Engine, sa.Engine]:
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {int(busy_s * 1000)}")
        connection.execute(MUST_BE_SYNCED)

    engines = []
    for size, most in ((1, 1 + READERS), (READERS, READERS_MAX)):
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            pool_size=size,
            max_overflow=most - size,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_S},
        )
        sa.event.listen(engine, "connect", prepare)
        engines.append(engine)
    return engines[0], engines[1]


def _check_folder(url: URL) -> None:
    folder = Path(url.database or "").parent
    if not folder.is_dir():
        raise ConfigurationError(
            text("The folder {folder} of the database file does not exist", folder=str(folder)),
            hint=text("Create it, or choose another place with --data"),
        )


def _prepare_sqlite_writer(connection: Any, _record: Any) -> None:
    _pragmas(
        connection,
        "journal_mode=WAL",
        "synchronous=FULL",  # WAL's default would lose the last commits at a power cut
        "foreign_keys=ON",
        f"journal_size_limit={WAL_LIMIT_BYTES}",
        "cache_size=-16000",
    )


def _prepare_sqlite_reader(connection: object, _record: object) -> None:
    _pragmas(connection, "query_only=ON", "cache_size=-4000")


def _pragmas(connection: Any, *settings: str) -> None:
    cursor = connection.cursor()
    try:
        for setting in settings:
            cursor.execute(f"PRAGMA {setting}")
    finally:
        cursor.close()
