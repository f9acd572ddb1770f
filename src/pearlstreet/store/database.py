"""A database behind a URL: embedded SQLite (WAL) or PostgreSQL, with one serial writer and parallel readers.

All writes of a process go through one thread, which combines waiting commands into one synced commit (group commit). Each
command has its own savepoint, so a failed command is rolled back without affecting the others. With PostgreSQL each write
transaction takes an advisory lock, so that commands are serial with both databases.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url

from pearlstreet.base.errors import ConfigurationError, Unavailable, check
from pearlstreet.base.text import text
from pearlstreet.store.connections import make_engines
from pearlstreet.store.driver_errors import StoreUnavailable, translated

__all__ = ["Database", "StoreUnavailable", "translated"]

T = TypeVar("T")

WRITE_LOCK = 0x7065_6172_6C
"""Key of the PostgreSQL advisory lock that serialises the writers of several processes."""
GROUP_MAX = 64
"""Largest number of commands in one commit; it limits how long the first of them waits."""
BUSY_S = 30.0
"""Time in seconds that a write waits for another process's write before it raises Unavailable."""


@dataclass(slots=True)
class _Request:
    run: Callable[[Connection], object]
    future: Future[Any]


class Database:
    """Connections to one database. `write` and `read` may be called from any thread."""

    def __init__(self, url: str, *, inline: bool = False, busy_s: float = BUSY_S) -> None:
        """Open the database. `inline`: writes run in the calling thread, as in simulations and in-memory databases."""
        try:
            self.url: URL = make_url(url)
        except sa.exc.ArgumentError:
            # The message leaves the URL out because it may contain a password.
            raise ConfigurationError(
                text("The database URL cannot be read"),
                hint=text("Use sqlite:////absolute/path/pearl.db or postgresql://user@host/name"),
            ) from None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        self._inline = inline or memory
        self._memory = memory
        self.engine, self._readers = make_engines(self.url, memory=memory, busy_s=busy_s)
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._gate = threading.Lock()
        """Lock held while a request is queued, so that none is queued after the writer has ended."""
        self._inline_lock = threading.RLock()
        self._closed = False

    def write(self, run: Callable[[Connection], T]) -> T:
        """Run `run` in a write transaction and return its result once it is synced to disk.

        Raises the exceptions of `run` (then nothing is written), or Unavailable when the database cannot be written.
        """
        if self._inline:
            with self._inline_lock:
                return self._write_inline(run)
        check(threading.current_thread() is not self._writer, "a command starts no write of its own")
        return self.submit(run).result()

    def submit(self, run: Callable[[Connection], T]) -> Future[T]:
        """Run `run` like `write`, without waiting. Callers on an event loop use `asyncio.wrap_future`."""
        future: Future[T] = Future()
        if self._inline:
            try:
                future.set_result(self.write(run))
            except Exception as error:  # noqa: BLE001  handed to the waiting caller
                future.set_exception(error)
            return future
        with self._gate:
            if self._closed:
                raise Unavailable(text("The store is shutting down"), retry_after_s=5)
            if self._writer is None:
                self._writer = threading.Thread(target=self._serve, name="store-writer", daemon=True)
                self._writer.start()
            self._requests.put(_Request(run, future))
        return future

    def read(self, run: Callable[[Connection], T]) -> T:
        """Run `run` on one consistent, read-only snapshot and return its result."""
        if self._memory:
            with self._inline_lock, self.engine.connect() as connection:
                return _guarded(connection, run)
        with translated(reading=True), self._readers.connect() as connection:
            begin = "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            connection.exec_driver_sql(begin)
            try:
                return run(connection)
            finally:
                _rollback(connection)

    def close(self) -> None:
        """Finish the queued writes and close all connections."""
        with self._gate:
            first, self._closed = not self._closed, True
            if first:
                self._requests.put(None)
        if self._writer is not None:
            self._writer.join(timeout=30)
        self.engine.dispose()
        self._readers.dispose()

    def _serve(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            try:
                with translated(), self.engine.connect() as connection:
                    self._run_batch(connection, batch)
            except BaseException as error:  # noqa: BLE001  each waiting caller must get a result or an exception
                for request in batch:
                    if not request.future.done():
                        request.future.set_exception(error)

    def _next_batch(self) -> list[_Request] | None:
        """Return the waiting commands that were not cancelled; None when the database closes."""
        waiting = self._requests.get()
        if waiting is None:
            return None
        batch: list[_Request] = []
        while True:
            # After this call the future cannot be cancelled, so setting its result never fails.
            if waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
            if len(batch) >= GROUP_MAX:
                return batch
            try:
                following = self._requests.get_nowait()
            except queue.Empty:
                return batch
            if following is None:
                self._requests.put(None)
                return batch
            waiting = following

    def _run_batch(self, connection: Connection, batch: list[_Request]) -> None:
        if not batch:
            return
        self._begin(connection)
        answers: list[tuple[_Request, object, BaseException | None]] = []
        try:
            for request in batch:
                result, error = self._run_one(connection, request.run)
                answers.append((request, result, error))
            self._commit(connection)
        except BaseException:
            _rollback(connection)
            raise
        for request, result, error in answers:
            if error is None:
                request.future.set_result(result)
            else:
                request.future.set_exception(error)

    def _run_one(
        self, connection: Connection, run: Callable[[Connection], T]
    ) -> tuple[T | None, BaseException | None]:
        connection.exec_driver_sql("SAVEPOINT command")
        try:
            with translated():
                result = run(connection)
        except StoreUnavailable:
            # The disk or the connection failed, and SQLite may already have rolled back the whole transaction.
            raise
        except BaseException as error:  # noqa: BLE001  raised only to the caller of this command
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT command")
            connection.exec_driver_sql("RELEASE SAVEPOINT command")
            return None, error
        connection.exec_driver_sql("RELEASE SAVEPOINT command")
        return result, None

    def _write_inline(self, run: Callable[[Connection], T]) -> T:
        with translated(), self.engine.connect() as connection:
            self._begin(connection)
            try:
                result = run(connection)
                self._commit(connection)
            except BaseException:
                _rollback(connection)
                raise
            return result

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    def _commit(self, connection: Connection) -> None:
        try:
            connection.exec_driver_sql("COMMIT")
        except sa.exc.DBAPIError as error:
            if self.is_sqlite or not error.connection_invalidated:
                raise
            raise StoreUnavailable(
                text("The connection to the database broke during a commit; the change may have been kept"),
                hint=text(
                    "Check the result before you repeat the command, or repeat it with the same Idempotency-Key"
                ),
                retry_after_s=5,
            ) from error


def _rollback(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except sa.exc.SQLAlchemyError:
        connection.invalidate()


@contextmanager
def _query_only(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("PRAGMA query_only=ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA query_only=OFF")


def _guarded(connection: Connection, run: Callable[[Connection], T]) -> T:
    with translated(reading=True), _query_only(connection):
        return run(connection)
