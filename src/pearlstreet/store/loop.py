"""Framework of all reconcile loops: lease due rows, load → decide (pure) → act (outside) → apply (under the lease).

Loops are level-triggered: they select rows by state and time; hints only wake them earlier. The framework does retries,
back-off and quarantine; a loop supplies only its functions.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter as Tally
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Histogram

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import BugError, Unavailable
from pearlstreet.store import leases, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import loop_failures, metadata
from pearlstreet.store.transitions import StaleWrite

C = TypeVar("C")
D = TypeVar("D")
O = TypeVar("O")  # noqa: E741  outcome of act

QUARANTINE_AFTER = 5
"""Consecutive failures with a broken invariant (BugError) after which a row is no longer tried, but reported."""
BACKOFF_MAX_S = 60.0
REST_MAX_S = 0.5
URGENT_REST = 0.25
"""Part of a pause that an urgent hint leaves."""

log = structlog.get_logger("loop")
STEP_SECONDS = Histogram("pearl_loop_step_seconds", "Time of one step of a loop", ["loop"])
FAILURES = Counter("pearl_loop_failures_total", "Steps or rows of a loop that failed", ["loop"])


class Loop(Protocol):
    """A loop whose `step` the runner calls repeatedly."""

    @property
    def name(self) -> str: ...

    @property
    def interval_s(self) -> float:
        """Longest pause between two steps, in seconds; a hint ends the pause earlier."""
        ...

    @property
    def hints(self) -> Sequence[str]:
        """Topics of hints that wake the loop."""
        ...

    def step(self, store: Store) -> bool:
        """Do the due work; returns True when more work is probably due already."""
        ...


@dataclass(slots=True)
class AccountsAtWork:
    """Accounts whose rows the lanes of one loop work on now."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rows: Tally[str] = field(default_factory=Tally)
    """Number of rows in work, by account."""
    lanes: Tally[str] = field(default_factory=Tally)
    """Number of lanes that work on rows of the account, by account."""
    withheld: set[str] = field(default_factory=set)
    """Accounts that a lane passed over because they already had their share of lanes; they may have due rows."""

    def begin(self, accounts: Mapping[str, int]) -> None:
        """Record that a lane has taken rows (account → number of rows). The caller holds the lock."""
        self.rows += Tally(accounts)
        self.lanes += Tally(dict.fromkeys(accounts, 1))

    def end(self, accounts: Mapping[str, int]) -> bool:
        """Record that a lane has finished its rows; returns True if another lane passed one of the accounts over.

        That other lane sleeps and its hint is spent, so the finishing lane must take the account's due rows.
        """
        with self.lock:
            self.rows -= Tally(accounts)
            self.lanes -= Tally(dict.fromkeys(accounts, 1))
            freed = self.withheld & accounts.keys()
            self.withheld -= freed
            return bool(freed)

    def withhold(self, count: int) -> Sequence[str]:
        """Return the accounts with rows in at least `count` lanes, which get no further lane. The caller holds the lock."""
        full = [account for account, lanes in self.lanes.items() if lanes >= count]
        self.withheld.update(full)
        return full


@dataclass(frozen=True)
class RowLoop(Generic[C, D, O]):
    """A loop over leased rows of one table."""

    name: str
    table: sa.Table
    conditions: tuple[sa.ColumnElement[bool], ...]
    account: sa.ColumnElement[object]
    """Column with the row's account, usually its organisation. Due rows are served round-robin over the accounts."""
    load: Callable[[Tx, Sequence[str]], Mapping[str, C]]
    decide: Callable[[C, int], D | None]
    act: Callable[[D], O]
    apply: Callable[[Tx, str, str, C, D, O], int | None]
    """Function (tx, row id, lease token, context, decision, outcome) → next due time in µs; then the lease is released."""
    hints: Sequence[str] = ()
    interval_s: float = 1.0
    batch: int = 64
    workers: int = 4
    lease_s: float = 120.0
    lanes: int = 1
    """Number of steps that run in parallel, so that a slow row delays only its own batch. One account never has rows in
    all lanes, so its slow rows leave a lane to the other accounts."""

    _stranded: list[tuple[str, str]] = field(default_factory=list, repr=False, compare=False)
    """Pairs (row id, token) whose lease could not be released because the store refused writes."""
    _at_work: AccountsAtWork = field(default_factory=lambda: AccountsAtWork(), repr=False, compare=False)

    def step(self, store: Store) -> bool:
        self._give_back_stranded(store)
        with self._at_work.lock:  # otherwise two lanes would choose the same rows
            chosen = store.read(self._choose)
            if not chosen:
                return False
            until_us = store.clock.now_us() + int(self.lease_s * US_PER_S)
            token, ids = store.write(
                lambda tx: leases.lease_rows(
                    tx, self.table, *self.conditions, limit=self.batch, lease_s=self.lease_s, chosen=chosen
                )
            )
            accounts = Tally(chosen[row_id] for row_id in ids)
            self._at_work.begin(accounts)
        withheld = False
        try:
            self._work(store, token, ids, until_us)
        finally:
            withheld = self._at_work.end(accounts)
        return withheld or len(chosen) == self.batch

    def _work(self, store: Store, token: str, ids: Sequence[str], until_us: int) -> None:
        found = self._load(store, token, ids)
        contexts = {
            row_id: found[row_id] for row_id in ids if row_id in found
        }  # in the round-robin order in which they were chosen
        now_us = store.clock.now_us()
        if len(contexts) <= 1 or self.workers == 1:
            for row_id, context in contexts.items():
                self._handle(store, row_id, token, context, now_us, until_us)
        else:
            with ThreadPoolExecutor(self.workers, thread_name_prefix=self.name) as pool:
                handle = partial(self._handle, store, now_us=now_us, until_us=until_us)
                list(pool.map(lambda item: handle(item[0], token, item[1]), contexts.items()))

    def _choose(self, tx: Tx) -> Mapping[str, str]:
        """Return the rows for this step (id → account)."""
        any_due = sa.select(self.table.c.id).where(*leases.due(tx, self.table), *self.conditions).limit(1)
        if tx.scalar(any_due) is None:
            return {}
        full = self._at_work.withhold(self.lanes - 1) if self.lanes > 1 else ()
        return leases.choose_rows(
            tx,
            self.table,
            *self.conditions,
            account=self.account,
            limit=self.batch,
            busy=self._at_work.rows,
            full=full,
        )

    def _load(self, store: Store, token: str, ids: Sequence[str]) -> Mapping[str, C]:
        """Return the rows' contexts (row id → context), without rows that failed to load or have no context.

        A row that fails to load does not fail the others. Rows without a context are released and not made due.
        """
        if not ids:
            return {}
        try:
            contexts = dict(store.read(lambda tx: self.load(tx, ids)))
            absent = set(ids) - set(contexts)
        except Exception:  # noqa: BLE001  it occurs again, and is reported, when rows are loaded one by one
            contexts, absent = self._load_one_by_one(store, token, ids)
        if absent:
            store.write(
                lambda tx: [leases.release(tx, self.table, row, token, due_us=None) for row in absent]
            )
        return contexts

    def _load_one_by_one(self, store: Store, token: str, ids: Sequence[str]) -> tuple[dict[str, C], set[str]]:
        contexts: dict[str, C] = {}
        absent = set()
        for row_id in ids:
            try:
                found = store.read(partial(self._load_one, row_id))
            except Exception as error:  # noqa: BLE001  reported and counted against the row
                self._report(store, row_id, token, error)
                continue
            contexts.update(found)
            if not found:
                absent.add(row_id)
        return contexts, absent

    def _load_one(self, row_id: str, tx: Tx) -> Mapping[str, C]:
        return self.load(tx, [row_id])

    def _handle(self, store: Store, row_id: str, token: str, context: C, now_us: int, until_us: int) -> None:
        try:
            if store.clock.now_us() >= until_us:  # the process was paused beyond its lease
                raise StaleWrite(row_id)
            decision = self.decide(context, now_us)
            outcome = self.act(decision) if decision is not None else None
            store.write(lambda tx: self._apply(tx, row_id, token, context, decision, outcome))
        except StaleWrite:
            log.info("stale", loop=self.name, row=row_id)
            self._give_back(store, row_id, token)
        except Exception as error:  # noqa: BLE001  reported and counted against the row
            self._report(store, row_id, token, error)

    def _apply(self, tx: Tx, row_id: str, token: str, context: C, decision: D | None, outcome: Any) -> None:
        if not leases.holds(tx, self.table, row_id, token):
            raise StaleWrite(row_id)
        due_us = None
        if decision is not None:
            due_us = self.apply(tx, row_id, token, context, decision, outcome)
        leases.release(tx, self.table, row_id, token, due_us=due_us)
        forget_failure(tx, self.name, row_id)

    def _report(self, store: Store, row_id: str, token: str, error: Exception) -> None:
        FAILURES.labels(self.name).inc()
        log.error("row failed", loop=self.name, row=row_id, error=str(error), exc_info=error)
        try:
            store.write(lambda tx: self._failed(tx, row_id, token, error))
        except Unavailable:
            self._stranded.append((row_id, token))

    def _failed(self, tx: Tx, row_id: str, token: str, error: Exception) -> None:
        failures, given_up = note_failure(tx, self.name, row_id, error)
        due_us = None if given_up else tx.now_us + int(backoff_s(failures) * US_PER_S)
        leases.release(tx, self.table, row_id, token, due_us=due_us)

    def _give_back(self, store: Store, row_id: str, token: str) -> None:
        """Release a row and make it due at once, unless another worker has leased it already."""
        try:
            store.write(lambda tx: leases.release(tx, self.table, row_id, token, due_us=tx.now_us))
        except Unavailable:
            self._stranded.append((row_id, token))

    def _give_back_stranded(self, store: Store) -> None:
        while True:
            try:
                row_id, token = self._stranded.pop()
            except IndexError:  # lanes share the list
                return
            self._give_back(store, row_id, token)
            if (row_id, token) in self._stranded:
                return


@dataclass(frozen=True)
class CycleLoop:
    """A loop that handles everything in one cycle, such as the planner or the scan of an engine.

    Another server's cycle may run at the same time, so a cycle must check again, in its transaction, what it writes.
    """

    name: str
    cycle: Callable[[Store], bool]
    """Function that runs one cycle; returns True when the next cycle should run at once."""
    hints: Sequence[str] = ()
    interval_s: float = 1.0
    rest: float = 0.0
    """Pause after a cycle, as a multiple of the cycle's length (at most `REST_MAX_S`), which hints do not shorten.
    It keeps many hints from taking the processor from the work that sends them."""
    urgent_hints: Sequence[str] = ()
    """Hints that shorten the pause to `URGENT_REST` of it. They must be rare, or the pause does not protect other work."""

    def step(self, store: Store) -> bool:
        return self.cycle(store)


def backoff_s(failures: int) -> float:
    """Return the delay in seconds before the next try of a row with this number of consecutive failures."""
    return min(BACKOFF_MAX_S, 0.5 * float(2 ** min(failures, 10)))


def note_failure(
    tx: Tx, loop: str, row_id: str, error: Exception, *, gives_up: bool = True
) -> tuple[int, bool]:
    """Store a row's failure for the operator; returns (consecutive failures, whether the row is quarantined)."""
    key = _failures_of(loop, row_id)
    failures = (tx.scalar(sa.select(loop_failures.c.failures).where(key)) or 0) + 1
    given_up = gives_up and isinstance(error, BugError) and failures >= QUARANTINE_AFTER
    tx.execute(sa.delete(loop_failures).where(key))
    tx.execute(
        sa.insert(loop_failures).values(
            loop=loop,
            row_id=row_id,
            failures=failures,
            quarantined=given_up,
            last_error=str(error)[:2000],
            at_us=tx.now_us,
        )
    )
    if given_up:
        told = {"loop": loop, "row": row_id, "failures": failures, "problem": str(error)[:500]}
        outbox.emit(tx, "incident", told)
    return failures, given_up


def forget_failure(tx: Tx, loop: str, row_id: str) -> None:
    """Delete the stored failure of a row that succeeded."""
    tx.execute(_FORGET, {"of_loop": loop, "of_row": row_id})


_FORGET = sa.delete(loop_failures).where(
    loop_failures.c.loop == sa.bindparam("of_loop"), loop_failures.c.row_id == sa.bindparam("of_row")
)


def _failures_of(loop: str, row_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(loop_failures.c.loop == loop, loop_failures.c.row_id == row_id)


def failing(tx: Tx, *, limit: int = 200) -> Sequence[sa.RowMapping]:
    """Return rows that loops fail on, for operators: quarantined rows first, then newest first."""
    order = (loop_failures.c.quarantined.desc(), loop_failures.c.at_us.desc())
    return tx.rows(sa.select(loop_failures).order_by(*order).limit(limit))


def retry_quarantined(
    tx: Tx, tables: Sequence[sa.Table] = (), *, loop: str | None = None, row_id: str | None = None
) -> int:
    """Make quarantined rows (all, of one loop, or one row) due again; returns the number of rows.

    Also called at a server's start, because a newer version may handle them.
    """
    given_up = sa.and_(
        loop_failures.c.quarantined,
        *([loop_failures.c.loop == loop] if loop is not None else []),
        *([loop_failures.c.row_id == row_id] if row_id is not None else []),
    )
    ids = tx.execute(sa.select(loop_failures.c.row_id).where(given_up)).scalars().all()
    for table in tables or metadata.sorted_tables:
        if "lease_token" in table.c and ids:
            mine = table.c.id.in_(ids) & table.c.due_us.is_(None)
            tx.execute(sa.update(table).where(mine).values(due_us=tx.now_us))
    tx.execute(sa.delete(loop_failures).where(given_up))
    return len(ids)


class RowGuard:
    """Isolates rows in a cycle loop: a failing row does not stop the others, is reported, and is retried with back-off.

    Each cycle loop has its own guard. `keep` forgets rows that the loop no longer handles.
    """

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self._failing: dict[str, tuple[int, int]] = {}
        """Consecutive failures and the time of the next try (µs since 1970), by row id."""

    def keep(self, rows: Collection[str]) -> None:
        """Forget the failures of all rows but these."""
        for gone in self._failing.keys() - set(rows):
            del self._failing[gone]

    def rests(self, store: Store, row_id: str) -> bool:
        """Return whether the row failed and its back-off has not ended yet."""
        return self._failing.get(row_id, (0, 0))[1] > store.clock.now_us()

    def run(self, store: Store, row_id: str, work: Callable[[], object]) -> None:
        """Call `work`, unless the row failed and its back-off has not ended. Never raises."""
        failures, due_us = self._failing.get(row_id, (0, 0))
        if due_us > store.clock.now_us():
            return
        try:
            work()
            if failures:
                store.write(lambda tx: forget_failure(tx, self._loop, row_id))
                del self._failing[row_id]
        except StaleWrite:
            log.info("stale", loop=self._loop, row=row_id)
        except Exception as error:
            FAILURES.labels(self._loop).inc()
            log.error("row failed", loop=self._loop, row=row_id, error=str(error), exc_info=failures < 3)
            wait_us = int(backoff_s(failures + 1) * US_PER_S)
            self._failing[row_id] = (failures + 1, store.clock.now_us() + wait_us)
            self._note(store, row_id, error)

    def _note(self, store: Store, row_id: str, error: Exception) -> None:
        with contextlib.suppress(Unavailable):
            store.write(lambda tx: note_failure(tx, self._loop, row_id, error, gives_up=False))


class LoopRunner:
    """Runs loops until stopped, with one thread per lane."""

    def __init__(self, store: Store, loops: Sequence[Loop]) -> None:
        self._store = store
        self._stopping = threading.Event()
        # Each lane has its own event. With a shared one, a lane that starts a step would clear it just before another lane,
        # whose step did not see the new rows, waits for it.
        self._wakes = {loop.name: [threading.Event() for _ in range(_lanes(loop))] for loop in loops}
        self._urgent = {loop.name: threading.Event() for loop in loops}
        self._loops = loops
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every loop."""
        for loop in self._loops:
            for topic in getattr(loop, "urgent_hints", ()):
                self._store.hints.listen(topic, self._urgent[loop.name].set)
            for lane, wake in enumerate(self._wakes[loop.name]):
                for topic in loop.hints:
                    self._store.hints.listen(topic, wake.set)
                name = f"loop-{loop.name}" + (f"-{lane}" if lane else "")
                thread = threading.Thread(target=self._run, args=(loop, lane), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, timeout_s: float = 20) -> None:
        """Let all loops finish their current step, then end; waits at most `timeout_s`."""
        self._stopping.set()
        for wakes in self._wakes.values():
            for wake in wakes:
                wake.set()
        for urgent in self._urgent.values():
            urgent.set()
        ends_at = self._store.clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_at - self._store.clock.monotonic_s()))

    def _run(self, loop: Loop, lane: int) -> None:
        wake = self._wakes[loop.name][lane]
        failures = 0
        while not self._stopping.is_set():
            wake.clear()
            self._urgent[loop.name].clear()
            began_s = self._store.clock.monotonic_s()
            try:
                with STEP_SECONDS.labels(loop.name).time():
                    more = loop.step(self._store)
                failures = 0
            except Exception as error:
                failures += 1
                more = False
                FAILURES.labels(loop.name).inc()
                log.error("step failed", loop=loop.name, error=str(error), exc_info=failures <= 3)
                self._stopping.wait(min(BACKOFF_MAX_S, 0.2 * 2 ** min(failures, 9)))
            rest_s = getattr(loop, "rest", 0.0) * (self._store.clock.monotonic_s() - began_s)
            if rest_s:
                self._pause(loop, min(rest_s, REST_MAX_S))
            if not more:
                wake.wait(loop.interval_s * (lane + 1))

    def _pause(self, loop: Loop, seconds: float) -> None:
        self._stopping.wait(URGENT_REST * seconds)
        self._urgent[loop.name].wait((1 - URGENT_REST) * seconds)


def _lanes(loop: Loop) -> int:
    """Return the number of steps of the loop that run in parallel."""
    return int(getattr(loop, "lanes", 1))
