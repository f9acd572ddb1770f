"""Faults of the server's own process, of its store, its hints and its clock."""

from __future__ import annotations

import sqlite3

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.database import broken
from pearlstreet.sim.faults.kind import FaultContext
from pearlstreet.sim.promises import Crash


def crash_before_commit(context: FaultContext) -> None:
    """The process dies after all writes of a transaction and before its commit."""
    context.took_effect = True
    raise Crash(context.server.name, "before a commit")


def crash_after_commit(context: FaultContext) -> None:
    """The process dies after a commit and before its caller gets the answer."""
    context.took_effect = True
    raise Crash(context.server.name, "after a commit")


def crash_before_act(context: FaultContext) -> Outcome[object]:
    """The process dies with a row leased, before it calls the engine."""
    context.took_effect = True
    raise Crash(context.server.name, f"before {context.method}")


def crash_after_act(context: FaultContext) -> Outcome[object]:
    """The process dies after the engine's call and before it writes the result."""
    context.call()
    context.took_effect = True
    raise Crash(context.server.name, f"after {context.method}")


def disk_full(context: FaultContext) -> None:
    """The disk of the database is full."""
    context.took_effect = True
    raise broken(sqlite3.SQLITE_FULL, "database or disk is full")


def disk_fails(context: FaultContext) -> None:
    """The disk of the database fails."""
    context.took_effect = True
    raise broken(sqlite3.SQLITE_IOERR, "disk I/O error")


def write_conflict(context: FaultContext) -> None:
    """Another process locks the database for too long, and the write is rolled back."""
    context.took_effect = True
    raise broken(sqlite3.SQLITE_BUSY, "database is locked")


def commit_untold(context: FaultContext) -> None:
    """The commit succeeds, but its caller gets an error."""
    context.took_effect = True
    raise broken(sqlite3.SQLITE_IOERR, "disk I/O error")


def read_fails(context: FaultContext) -> None:
    """A query fails."""
    context.took_effect = True
    raise broken(sqlite3.SQLITE_BUSY, "database is locked")


def hint_lost(context: FaultContext) -> None:
    """A loop is not woken."""
    context.took_effect = True


def hint_storm(context: FaultContext) -> None:
    """Every loop is woken without a reason."""
    context.server.wake_all()
    context.took_effect = True


def clock_jumps(context: FaultContext) -> None:
    """The wall clock is set ahead by seconds or, as after a suspended machine, by hours."""
    context.world.time.set_wall(context.world.luck.pick((2.0, 30.0, 130.0, 3700.0, 20_000.0)))
    context.took_effect = True


def clock_steps_back(context: FaultContext) -> None:
    """The wall clock is set back."""
    context.world.time.set_wall(-context.world.luck.pick((0.5, 10.0, 130.0, 4000.0)))
    context.took_effect = True


def paused(context: FaultContext) -> Outcome[object]:
    """The process is paused between a call and its write until its leases expire; another server takes over."""
    answer = context.call()
    context.took_effect = context.world.take_over(context.server)
    return answer


def paused_before_write(context: FaultContext) -> None:
    """The process is paused before the write of a decision; another server takes over."""
    context.took_effect = context.world.take_over(context.server)


def lease_lost(context: FaultContext) -> Outcome[object]:
    """A call takes longer than the lease of its row."""
    answer = context.call()
    context.world.time.advance(context.world.luck.between(121, 200))
    context.took_effect = True
    return answer


def second_server(context: FaultContext) -> None:
    """Another server works on the same database for a while."""
    context.took_effect = context.world.start_second_server()
