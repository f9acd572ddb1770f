"""The store's interface for other packages: `store.write(fn)` and `store.read(fn)`, where `fn` gets a `Tx`.

One command is one `write`. The `Tx` also provides the time, new ids and hints to loops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult, RowMapping

from pearlstreet.base.clock import Clock, SystemClock
from pearlstreet.base.errors import BugError, check
from pearlstreet.base.ids import new_id
from pearlstreet.base.rng import Rng, SystemRng
from pearlstreet.base.text import text
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer

T = TypeVar("T")
Listener = Callable[[], None]
Row = Mapping[Any, Any]
"""Values of a row by column name."""


class Tx:
    """One transaction: a connection, one time (`now_us`) for all rows it writes, and the hints to send after commit."""

    __slots__ = ("_clock", "_rng", "connection", "hints", "now_us", "sealer", "writable")

    def __init__(
        self, connection: Connection, clock: Clock, rng: Rng, sealer: Sealer | None, *, writable: bool
    ) -> None:
        self.connection = connection
        self.writable = writable
        self.now_us = clock.now_us()
        self.sealer = sealer
        self.hints: set[str] = set()
        self._clock = clock
        self._rng = rng

    def execute(
        self,
        statement: sa.Executable,
        rows: Sequence[Mapping[str, object]] | Mapping[str, object] | None = None,
    ) -> CursorResult[Any]:
        """Run a statement. `rows` are parameters as in SQLAlchemy's Connection.execute."""
        return self.connection.execute(statement, rows)

    def rows(self, statement: sa.Executable) -> Sequence[RowMapping]:
        """Return all rows of a query, as mappings by column name."""
        return self.connection.execute(statement).mappings().all()

    def first(self, statement: sa.Executable) -> RowMapping | None:
        """Return the first row of a query, or None."""
        return self.connection.execute(statement).mappings().first()

    def scalar(self, statement: sa.Executable) -> Any:
        """Return the first column of the first row, or None."""
        return self.connection.execute(statement).scalar()

    def new_id(self, prefix: str) -> str:
        """Return a new id such as `job_01k…`."""
        return new_id(prefix, self._clock, self._rng)

    def token_bytes(self, count: int) -> bytes:
        """Return random bytes for secrets and lease tokens."""
        return self._rng.token_bytes(count)

    def hint(self, topic: str) -> None:
        """Wake the loops that listen to `topic` after the commit. A lost hint only adds latency."""
        self.hints.add(topic)


class Claim(Protocol):
    """Interface of an idempotency claim, with which a write happens only once (see store.idempotency)."""

    def run(self, tx: Tx, command: Callable[[Tx], T]) -> T:
        """Run the command. Raises Replayed if a command with this claim was done before."""
        ...

    def check(self, tx: Tx) -> None:
        """Raise Replayed if a command with this claim was done before."""
        ...


class Replayed(Exception):
    """Signals that the command was done before; `body` is the response of that time. Not a failure."""

    def __init__(self, body: bytes) -> None:
        super().__init__("replayed")
        self.body = body


class _OneWrite:
    """Claim of one request, which permits one write: a second one would be taken for a repetition of the first."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._done = False

    def run(self, tx: Tx, command: Callable[[Tx], T]) -> T:
        try:
            result = self._claim.run(tx, command)
        except Replayed:
            check(not self._done, "a request with an Idempotency-Key is one write")
            raise
        self._done = True
        return result

    def check(self, tx: Tx) -> None:
        self._claim.check(tx)


class Hints:
    """Listeners of the store's hints, by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, list[Listener]] = {}

    def listen(self, topic: str, listener: Listener) -> None:
        """Call `listener` after each commit that hinted `topic`. It must be quick and never raise."""
        with self._lock:
            self._listeners.setdefault(topic, []).append(listener)

    def fire(self, topics: set[str]) -> None:
        """Call the listeners of `topics`, in a deterministic order for replay in the simulator."""
        for topic in sorted(topics):
            for listener in self._listeners.get(topic, ()):
                listener()


@dataclass(frozen=True)
class Store:
    """A database with its clock, random numbers, hints and sealer. `once` returns a store for one idempotent write."""

    database: Database
    clock: Clock = field(default_factory=SystemClock)
    rng: Rng = field(default_factory=SystemRng)
    hints: Hints = field(default_factory=Hints)
    sealer: Sealer | None = None
    claim: Claim | None = None

    def write(self, command: Callable[[Tx], T]) -> T:
        """Run a command in one transaction and return its result once it is durable. Raises the command's exceptions."""
        result, topics = self.database.write(lambda connection: self._run(connection, command))
        self.hints.fire(topics)
        return result

    def submit(self, command: Callable[[Tx], T]) -> Future[tuple[T, set[str]]]:
        """Run a command like `write`, without waiting. When the future is done, the caller passes its topics to `hints.fire`."""
        return self.database.submit(lambda connection: self._run(connection, command))

    def read(self, query: Callable[[Tx], T]) -> T:
        """Run a query on one consistent snapshot and return its result."""
        return self.database.read(
            lambda connection: query(Tx(connection, self.clock, self.rng, self.sealer, writable=False))
        )

    def once(self, claim: Claim | None) -> Store:
        """Return the same store for one write with an Idempotency-Key."""
        return replace(self, claim=_OneWrite(claim)) if claim is not None else self

    def not_done_before(self) -> None:
        """Raise Replayed if the write of this request was done before; call it before effects outside the database."""
        claim = self.claim
        if claim is not None:
            self.read(claim.check)

    def close(self) -> None:
        """Finish pending writes and close the database."""
        self.database.close()

    def _run(self, connection: Connection, command: Callable[[Tx], T]) -> tuple[T, set[str]]:
        tx = Tx(connection, self.clock, self.rng, self.sealer, writable=True)
        result = command(tx) if self.claim is None else self.claim.run(tx, command)
        return result, tx.hints


def must_be_sealed(tx: Tx) -> Sealer:
    """Return the sealer of the transaction's store. Raises BugError for a store without one."""
    if tx.sealer is None:
        raise BugError(text("A store without an encryption key cannot store secrets"))
    return tx.sealer
