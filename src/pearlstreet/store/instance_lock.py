"""One server a database. SQLite: the data folder's lock sees to it. PostgreSQL: this module.

A server writes only through a session that holds an advisory lock. Whoever has lost the session has lost the lock, and
can write again only after getting it back: a second server is refused at its start, and one that was cut off while
another took over can change nothing, however long it takes to notice. PostgreSQL frees the lock when it sees that the
session is gone, so the session asks it to look often.
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
"""Key of the PostgreSQL advisory lock that the one server of a database holds."""
WAIT_S = 10.0
"""How long a start waits for a server that is just ending, or whose end PostgreSQL has not noticed yet."""
PAUSE_S = 0.2
GONE = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""PostgreSQL takes a silent client for gone after 25 s instead of two hours."""


def keep_alone(database: Database, clock: Clock, *, wait_s: float = WAIT_S) -> None:
    """From now on `database` writes only while no other server does. Before the first loop starts.

    Raises ConfigurationError when another server has the database.
    """
    if database.is_sqlite:
        return
    database.engine.dispose()  # the sessions that migrated and unlocked hold no lock
    sa.event.listen(database.engine, "connect", _hold)
    until_s = clock.monotonic_s() + wait_s
    while not _got(database):
        if clock.monotonic_s() > until_s:
            raise ConfigurationError(
                text("Another server already uses this PostgreSQL database"),
                hint=text("Stop it first, or give this center a database of its own"),
            )
        clock.sleep(PAUSE_S)


def _got(database: Database) -> bool:
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
                text("Another server has taken over the database; this one changes nothing any more"),
                hint=text("Stop one of the two"),
                retry_after_s=5,
            )
