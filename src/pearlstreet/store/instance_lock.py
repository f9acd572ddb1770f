"""Ensures that one server at a time writes to a PostgreSQL database; for SQLite the lock of the data folder does so.

A server writes only through sessions that hold an advisory lock. A lost session loses the lock, and the server can write
again only after it has regained it. So a second server is refused at its start, and a server that was cut off while
another took over cannot write. PostgreSQL releases the lock when it detects the loss of the session; TCP keepalives make
this take 25 s instead of two hours.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.store.database import Database
from pearlstreet.store.driver_errors import StoreUnavailable, translated

SERVER_LOCK = 0x7065_6172_6D
"""Key of the PostgreSQL advisory lock that the server of a database holds."""
WAIT_S = 10.0
"""Time in seconds that a start waits for the lock of a server that is ending or has ended unnoticed by PostgreSQL."""
PAUSE_S = 0.2
GONE = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""SQL with which PostgreSQL considers a silent client lost after 25 s instead of two hours."""


def acquire_instance_lock(database: Database, clock: Clock, *, wait_s: float = WAIT_S) -> None:
    """Let `database` write only under the lock of the only server. Must be called before the first loop starts.

    Raises ConfigurationError when another server uses the database.
    """
    if database.is_sqlite:
        return
    database.engine.dispose()  # earlier sessions of this start, such as for migrations, hold no lock
    sa.event.listen(database.engine, "connect", _hold)
    until_s = clock.monotonic_s() + wait_s
    while not _is_acquired(database):
        if clock.monotonic_s() > until_s:
            raise ConfigurationError(
                text("Another server already uses this PostgreSQL database"),
                hint=text("Stop it first, or give this center its own database"),
            )
        clock.sleep(PAUSE_S)


def _is_acquired(database: Database) -> bool:
    try:
        with translated(), database.engine.connect():
            return True
    except TakenError:
        return False


class TakenError(StoreUnavailable):
    """Another server holds the lock."""


def _hold(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(GONE)
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (SERVER_LOCK,))
        if not cursor.fetchone()[0]:
            raise TakenError(
                text("Another server has taken over the database; this server can no longer change it"),
                hint=text("Stop one of the two"),
                retry_after_s=5,
            )
