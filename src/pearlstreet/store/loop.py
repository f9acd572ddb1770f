"""The frame every reconcile loop is driven by: lease due rows, load → decide (pure) → act (outside) → apply (guarded).

Loops are level-triggered: they select by state and time, hints only wake them earlier. The frame owns retries,
back-off and quarantine; a loop says only what to do.
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
"""Failures in a row of a broken promise (BugError) after which a row is left alone and reported."""
BACKOFF_MAX_S = 60.0
REST_MAX_S = 0.5

log = structlog.get_logger("loop")
STEP_SECONDS = Histogram("pearl_loop_step_seconds", "Time of one step of a loop", ["loop"])
FAILURES = Counter("pearl_loop_failures_total", "Steps or rows of a loop that failed", ["loop"])


class Loop(Protocol):
    """Something the runner calls again and again."""

    @property
    def name(self) -> str: ...

    @property
    def interval_s(self) -> float:
        """Between two steps when nothing hints."""
        ...

    @property
    def hints(self) -> Sequence[str]:
        """Topics that wake it."""
        ...

    def step(self, store: Store) -> bool:
        """Do what is due; True when more is likely waiting already."""
        ...


@dataclass(slots=True)
class AccountsAtWork:
    """Of one loop: whose rows its lanes work on now."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rows: Tally[str] = field(default_factory=Tally)
    """Account → rows in work."""
    lanes: Tally[str] = field(default_factory=Tally)
    """Account → lanes that work on some of its rows."""
    withheld: set[str] = field(default_factory=set)
    """Accounts whose rows a lane left alone because other lanes work on theirs: due rows of them may be waiting."""

    def begin(self, accounts: Mapping[str, int]) -> None:
        """A lane took rows (account → how many). The caller holds the lock."""
        self.rows += Tally(accounts)
        self.lanes += Tally(dict.fromkeys(accounts, 1))

    def end(self, accounts: Mapping[str, int]) -> bool:
        """The lane is done with them; True when another lane left rows of one of them alone meanwhile.

        That lane sleeps and its hint is spent, so the rows are for the lane that ended to take.
        """
        with self.lock:
            self.rows -= Tally(accounts)
            self.lanes -= Tally(dict.fromkeys(accounts, 1))
            freed = self.withheld & accounts.keys()
            self.withheld -= freed
            return bool(freed)

    def withhold(self, count: int) -> Sequence[str]:
        """Accounts with rows in at least `count` lanes, which get no further lane. The caller holds the lock."""
        full = [account for account, lanes in self.lanes.items() if lanes >= count]
        self.withheld.update(full)
        return full


@dataclass(frozen=True)
class RowLoop(Generic[C, D, O]):
    """A loop over leased rows of one table."""

    name: str
    table: sa.Table
    conditions: tuple[sa.ColumnElement[bool], ...]
    account: sa.ColumnElement[Any]
    """Whose row it is, mostly its organisation: due rows are served by turns between accounts, oldest first inside one."""
    load: Callable[[Tx, Sequence[str]], Mapping[str, C]]
    decide: Callable[[C, int], D | None]
    act: Callable[[D], O]
    apply: Callable[[Tx, str, str, C, D, O], int | None]
    """(tx, row id, lease token, context, decision, outcome) → when the row is due again; the frame releases it."""
    hints: Sequence[str] = ()
    interval_s: float = 1.0
    batch: int = 64
    workers: int = 4
    lease_s: float = 120.0
    lanes: int = 1
    """How many steps the runner lets go on at once: a row that takes long holds up no more than its own batch. One account
    never has rows in all of them, so that slow rows of one leave a lane to the others."""

    _stranded: list[tuple[str, str]] = field(default_factory=list, repr=False, compare=False)
    """(row, token) that could not be given back because the store did not take writes."""
    _at_work: AccountsAtWork = field(default_factory=lambda: AccountsAtWork(), repr=False, compare=False)

    def step(self, store: Store) -> bool:
        self._give_back_stranded(store)
        with self._at_work.lock:  # or two lanes would choose the same rows
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
        }  # by turns, as they were chosen
        now_us = store.clock.now_us()
        if len(contexts) <= 1 or self.workers == 1:
            for row_id, context in contexts.items():
                self._handle(store, row_id, token, context, now_us, until_us)
        else:
            with ThreadPoolExecutor(self.workers, thread_name_prefix=self.name) as pool:
                handle = partial(self._handle, store, now_us=now_us, until_us=until_us)
                list(pool.map(lambda item: handle(item[0], token, item[1]), contexts.items()))

    def _choose(self, tx: Tx) -> Mapping[str, str]:
        """Which rows this step takes, with their accounts."""
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
        """The rows' contexts. One that cannot be loaded fails alone; one that is not worth a look is given back."""
        if not ids:
            return {}
        try:
            contexts = dict(store.read(lambda tx: self.load(tx, ids)))
            absent = set(ids) - set(contexts)
        except Exception:  # noqa: BLE001  found again, and reported, row by row
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
            if store.clock.now_us() >= until_us:  # we stood still: what we would do now may be long over
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
        """Have a row looked at anew at once, unless somebody else holds it already."""
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
    """A loop that looks at everything at once (the planner, a scan of an engine).

    Nothing keeps a second server's cycle from running meanwhile: what a cycle writes is re-checked in its transaction.
    """

    name: str
    cycle: Callable[[Store], bool]
    """Returns True when it should run again at once."""
    hints: Sequence[str] = ()
    interval_s: float = 1.0
    rest: float = 0.0
    """After a cycle nothing runs for this many times its length (at most `REST_MAX_S`), however many hints come:
    a storm of them must not take the processor from those who sent them."""

    def step(self, store: Store) -> bool:
        return self.cycle(store)


def backoff_s(failures: int) -> float:
    """How long a row that failed so often in a row is left alone."""
    return min(BACKOFF_MAX_S, 0.5 * float(2 ** min(failures, 10)))


def note_failure(
    tx: Tx, loop: str, row_id: str, error: Exception, *, gives_up: bool = True
) -> tuple[int, bool]:
    """Keep a row's failure for the operator: how many there were in a row, and whether the row is given up."""
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
    """The row went on."""
    tx.execute(_FORGET, {"of_loop": loop, "of_row": row_id})


_FORGET = sa.delete(loop_failures).where(
    loop_failures.c.loop == sa.bindparam("of_loop"), loop_failures.c.row_id == sa.bindparam("of_row")
)


def _failures_of(loop: str, row_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(loop_failures.c.loop == loop, loop_failures.c.row_id == row_id)


def failing(tx: Tx, *, limit: int = 200) -> Sequence[sa.RowMapping]:
    """Rows that loops fail on or have given up, those given up first, newest first: for the operators."""
    order = (loop_failures.c.quarantined.desc(), loop_failures.c.at_us.desc())
    return tx.rows(sa.select(loop_failures).order_by(*order).limit(limit))


def retry_quarantined(
    tx: Tx, tables: Sequence[sa.Table] = (), *, loop: str | None = None, row_id: str | None = None
) -> int:
    """Make every row that was given up (or those of one loop, or one of them) due again; how many there were.

    Also at a server's start: a newer program may know better.
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
    """For loops over many rows: runs the work on one so that a bad row does not stop the others, is reported, and is
    tried again ever more seldom. A cycle loop has one of its own; `keep` drops what is not looked at any more.
    """

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self._failing: dict[str, tuple[int, int]] = {}
        """Row → failures in a row, and when it is tried again."""

    def keep(self, rows: Collection[str]) -> None:
        """Forget failures of rows other than these."""
        for gone in self._failing.keys() - set(rows):
            del self._failing[gone]

    def rests(self, store: Store, row_id: str) -> bool:
        """Whether the row failed a moment ago: it is left alone for a while."""
        return self._failing.get(row_id, (0, 0))[1] > store.clock.now_us()

    def run(self, store: Store, row_id: str, work: Callable[[], object]) -> None:
        """Do the work, unless the row failed a moment ago. Never raises."""
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
    """Drives loops, a thread for each of their lanes, until stopped."""

    def __init__(self, store: Store, loops: Sequence[Loop]) -> None:
        self._store = store
        self._stopping = threading.Event()
        # An event for each lane: one that all share would be cleared by a lane that begins a step just before another
        # one, whose step did not see the new rows, goes to sleep.
        self._wakes = {loop.name: [threading.Event() for _ in range(_lanes(loop))] for loop in loops}
        self._loops = loops
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every loop."""
        for loop in self._loops:
            for lane, wake in enumerate(self._wakes[loop.name]):
                for topic in loop.hints:
                    self._store.hints.listen(topic, wake.set)
                name = f"loop-{loop.name}" + (f"-{lane}" if lane else "")
                thread = threading.Thread(target=self._run, args=(loop, lane), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, timeout_s: float = 20) -> None:
        """Let every loop finish its step, then end."""
        self._stopping.set()
        for wakes in self._wakes.values():
            for wake in wakes:
                wake.set()
        ends_at = self._store.clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_at - self._store.clock.monotonic_s()))

    def _run(self, loop: Loop, lane: int) -> None:
        wake = self._wakes[loop.name][lane]
        failures = 0
        while not self._stopping.is_set():
            wake.clear()
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
                self._stopping.wait(min(rest_s, REST_MAX_S))
            if not more:
                wake.wait(loop.interval_s * (lane + 1))


def _lanes(loop: Loop) -> int:
    """How many steps of the loop the runner lets go on at once."""
    return int(getattr(loop, "lanes", 1))
