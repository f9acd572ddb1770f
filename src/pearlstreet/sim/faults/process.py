"""Faults of the server's own process, of its store, its hints and its clock."""

from __future__ import annotations

import sqlite3
from typing import Any

from pearlstreet.base.outcome import Outcome
from pearlstreet.sim.database import broken
from pearlstreet.sim.ends import Crash
from pearlstreet.sim.faults.kind import Moment


def crash_before_commit(moment: Moment) -> None:
    """The process dies with everything of a transaction written and nothing committed."""
    moment.struck = True
    raise Crash(moment.server.name, "before a commit")


def crash_after_commit(moment: Moment) -> None:
    """The process dies when the transaction is safe and nobody has been told."""
    moment.struck = True
    raise Crash(moment.server.name, "after a commit")


def crash_before_act(moment: Moment) -> Outcome[Any]:
    """The process dies with a row leased, before the engine is asked."""
    moment.struck = True
    raise Crash(moment.server.name, f"before {moment.method}")


def crash_after_act(moment: Moment) -> Outcome[Any]:
    """The process dies when the engine has done its part and nothing is written yet."""
    moment.call()
    moment.struck = True
    raise Crash(moment.server.name, f"after {moment.method}")


def disk_full(moment: Moment) -> None:
    """The disk of the database is full."""
    moment.struck = True
    raise broken(sqlite3.SQLITE_FULL, "database or disk is full")


def disk_fails(moment: Moment) -> None:
    """The disk of the database fails."""
    moment.struck = True
    raise broken(sqlite3.SQLITE_IOERR, "disk I/O error")


def write_conflict(moment: Moment) -> None:
    """Another process holds the database for too long: the write is rolled back."""
    moment.struck = True
    raise broken(sqlite3.SQLITE_BUSY, "database is locked")


def commit_untold(moment: Moment) -> None:
    """The commit is kept, and the answer says that it failed."""
    moment.struck = True
    raise broken(sqlite3.SQLITE_IOERR, "disk I/O error")


def read_fails(moment: Moment) -> None:
    """A query is not answered."""
    moment.struck = True
    raise broken(sqlite3.SQLITE_BUSY, "database is locked")


def hint_lost(moment: Moment) -> None:
    """A loop is not woken."""
    moment.struck = True


def hint_storm(moment: Moment) -> None:
    """Every loop is woken for nothing, again and again."""
    moment.server.wake_all()
    moment.struck = True


def clock_jumps(moment: Moment) -> None:
    """The wall clock is set ahead: by seconds, or by hours after the machine slept."""
    moment.world.time.set_wall(moment.world.luck.pick((2.0, 30.0, 130.0, 3700.0, 20_000.0)))
    moment.struck = True


def clock_steps_back(moment: Moment) -> None:
    """The wall clock is set back."""
    moment.world.time.set_wall(-moment.world.luck.pick((0.5, 10.0, 130.0, 4000.0)))
    moment.struck = True


def paused(moment: Moment) -> Outcome[Any]:
    """The process stands still between acting and writing, past its leases; another server takes over meanwhile."""
    answer = moment.call()
    moment.struck = moment.world.take_over(moment.server)
    return answer


def paused_before_write(moment: Moment) -> None:
    """The process stands still with a decision made and not yet written; another server takes over meanwhile."""
    moment.struck = moment.world.take_over(moment.server)


def lease_lost(moment: Moment) -> Outcome[Any]:
    """A call takes longer than the lease of its row."""
    answer = moment.call()
    moment.world.time.advance(moment.world.luck.between(121, 200))
    moment.struck = True
    return answer


def second_server(moment: Moment) -> None:
    """Another server works on the same database for a while."""
    moment.struck = moment.world.contend()
