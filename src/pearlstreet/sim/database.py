"""The store's real database in memory, with injection points before a write, at its commit and after it."""

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
    """What happens around the transactions of one server."""

    def before_write(self) -> None: ...

    def before_commit(self) -> None: ...

    def after_commit(self) -> None: ...

    def before_read(self) -> None: ...


class Memory:
    """One SQLite database in memory, made once a process and filled anew from an image for each world."""

    def __init__(self) -> None:
        made = Database("sqlite://")
        metadata.create_all(made.engine)
        self.engine = made.engine
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
        self.raw = raw
        """The driver's own connection: the checker reads through it, beside the product."""
        self._image: bytes = self.raw.serialize()

    def empty(self) -> None:
        """Back to a center that never ran."""
        self.raw.deserialize(self._image)


@cache
def memory() -> Memory:
    """This process's."""
    return Memory()


class WorldDatabase(Database):
    """One server's view of the database. What a server remembers beside it hangs on this object, and dies with it."""

    def __init__(self, shared: Memory, points: InjectionPoints) -> None:
        super().__init__("sqlite://")
        # An engine of its own over the same connection: caches by engine begin empty, compiled statements stay.
        self.engine = self._readers = shared.engine.execution_options()
        self._raw = shared.raw
        self._sites = points

    def write(self, run: Callable[[Connection], T]) -> T:
        with translated():
            self._sites.before_write()
        result = super().write(run)
        with translated():
            self._sites.after_commit()
        return result

    def read(self, run: Callable[[Connection], T]) -> T:
        with translated():
            self._sites.before_read()
        changes = self._raw.total_changes
        with translated(reading=True), self.engine.connect() as connection:
            result = run(connection)
        # Instead of PRAGMA query_only around each read, which has every statement of the connection prepared anew.
        must(self._raw.total_changes == changes, "a read writes nothing", "rows changed during a read")
        return result

    def close(self) -> None:
        """The connection is everybody's."""

    def _commit(self, connection: Connection) -> None:
        self._sites.before_commit()
        super()._commit(connection)


def broken(code: int, words: str) -> sa.exc.OperationalError:
    """What the driver raises when SQLite answers `code`."""
    problem: Any = sqlite3.OperationalError(words)
    problem.sqlite_errorcode = code
    return sa.exc.OperationalError("COMMIT", {}, problem)
