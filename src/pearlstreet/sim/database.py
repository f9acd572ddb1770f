"""The store's real database, in memory, with injection points before a write, before and after its commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.sim.promises import must
from pearlstreet.store.database import Database
from pearlstreet.store.driver_errors import translated
from pearlstreet.store.tables import metadata

T = TypeVar("T")


class InjectionPoints(Protocol):
    """Callbacks around the transactions of one server."""

    def before_write(self) -> None: ...

    def before_commit(self) -> None: ...

    def after_commit(self) -> None: ...

    def before_read(self) -> None: ...


class Memory:
    """One SQLite database in memory, created once per process and reset from an image for each world."""

    def __init__(self) -> None:
        database = Database("sqlite://")
        metadata.create_all(database.engine)
        self.engine = database.engine
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
        self.raw = raw
        """The driver's own connection, through which the checker reads independently of the product."""
        self._image: bytes = self.raw.serialize()

    def empty(self) -> None:
        """Reset the database to that of a new center."""
        self.raw.deserialize(self._image)


@cache
def memory() -> Memory:
    """Return the database of this process."""
    return Memory()


class WorldDatabase(Database):
    """One server's view of the database. Caches of the server hang on this object and end with it in a crash."""

    def __init__(self, shared: Memory, points: InjectionPoints) -> None:
        super().__init__("sqlite://")
        # A separate engine on the same connection: caches per engine start empty, compiled statements are kept.
        self.engine = self._readers = shared.engine.execution_options()
        self._raw = shared.raw
        self._points = points

    def write(self, run: Callable[[Connection], T]) -> T:
        with translated():
            self._points.before_write()
        result = super().write(run)
        with translated():
            self._points.after_commit()
        return result

    def read(self, run: Callable[[Connection], T]) -> T:
        with translated():
            self._points.before_read()
        changes = self._raw.total_changes
        with translated(reading=True), self.engine.connect() as connection:
            result = run(connection)
        # PRAGMA query_only around each read would check this too, but makes SQLite prepare every statement again.
        must(self._raw.total_changes == changes, "a read writes nothing", "rows changed during a read")
        return result

    def close(self) -> None:
        """Do nothing: all servers share the connection."""

    def _commit(self, connection: Connection) -> None:
        self._points.before_commit()
        super()._commit(connection)


def broken(code: int, words: str) -> sa.exc.OperationalError:
    """Return the error that the driver raises for SQLite's result `code`."""
    problem: Any = sqlite3.OperationalError(words)
    problem.sqlite_errorcode = code
    return sa.exc.OperationalError("COMMIT", {}, problem)
