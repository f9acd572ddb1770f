"""Notifies owners of jobs that maintenance will stop, and stops these jobs after it has begun and the notice has passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.text import Text, text
from pearlstreet.compute.execution.lifecycle import request_stop
from pearlstreet.compute.execution.model import LIVE_ATTEMPT, StopReason
from pearlstreet.compute.execution.owners import Owners, owner_of
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.queueing.owners import MaintenanceNotice, QueuedOwner
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.compute.queueing.tables import warnings
from pearlstreet.compute.queueing.windows.model import WINDOWS, PoolWindow
from pearlstreet.compute.queueing.windows.rows import ends_us, live_attempts, nodes_of, stopping_at
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LOOP = "windows"


def window_loop(runtime: QueueingRuntime, owners: Owners) -> Loop:
    """Return the loop that watches maintenance windows."""
    watch = WindowWatch(runtime, owners)
    return CycleLoop(name=LOOP, cycle=watch.look, hints=(WINDOWS,), interval_s=10.0)


@dataclass(frozen=True, slots=True)
class _InTheWay:
    """An attempt on a node of a window whose time limit lets it run into the window."""

    window: PoolWindow
    attempt: Row
    node: str
    told_us: int | None


@dataclass(slots=True)
class WindowWatch:
    """Notifies owners and stops attempts. Notifications are recorded in rows, so a restart does not repeat them."""

    runtime: QueueingRuntime
    owners: Owners
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))

    def look(self, store: Store) -> bool:
        """Check all maintenance windows that begin soon or have begun."""
        settings = self.runtime.settings
        ahead_us = store.clock.now_us() + int(settings.window_ahead_s * US_PER_S)
        found = store.read(partial(_in_the_way, ahead_us))
        self.guard.keep([item.attempt["id"] for item in found])
        notice_us = int(settings.window_notice_s * US_PER_S)
        for item in found:
            if item.told_us is None:
                self._run(store, item, partial(_tell, self.owners, item))
            elif store.clock.now_us() >= max(item.window.from_us, item.told_us + notice_us):
                self._run(store, item, partial(_stop, self.owners, item))
        return False

    def _run(self, store: Store, item: _InTheWay, command: Callable[[Tx], None]) -> None:
        self.guard.run(store, item.attempt["id"], partial(store.write, command))


def _in_the_way(ahead_us: int, tx: Tx) -> list[_InTheWay]:
    near = stopping_at(tx, ahead_us)
    if not near:
        return []
    ids = [window.id for window in near]
    told = {
        (row["window_id"], row["attempt_id"]): row["at_us"]
        for row in tx.rows(sa.select(warnings).where(warnings.c.window_id.in_(ids)))
    }
    held = [(window, {one.node for one in window.held}) for window in near]
    found = []
    for attempt in live_attempts(tx):
        if attempt["stop_reason"] is not None:
            continue
        on = nodes_of(attempt)
        for window, nodes in held:
            both = sorted(on & nodes)
            if both and ends_us(attempt) > window.from_us:
                at_us = told.get((window.id, attempt["id"]))
                found.append(_InTheWay(window, attempt, both[0], at_us))
    return found


def _tell(owners: Owners, item: _InTheWay, tx: Tx) -> None:
    window, attempt = item.window, item.attempt
    key = (warnings.c.window_id == window.id) & (warnings.c.attempt_id == attempt["id"])
    if tx.first(sa.select(warnings).where(key)) is not None:
        return
    is_first = not _array_was_told(tx, window.id, attempt["array_id"])
    _note_told(tx, window.id, attempt)
    owner = owner_of(owners, attempt)
    if isinstance(owner, QueuedOwner):
        sentence = ahead(item.node, window)
        notice = MaintenanceNotice(
            item.node, window.from_us, window.until_us, window.reason, sentence, is_first
        )
        owner.on_maintenance(tx, attempt, notice)


def _note_told(tx: Tx, window_id: str, attempt: Row) -> None:
    told = {"window_id": window_id, "attempt_id": attempt["id"], "org_id": attempt["org_id"]}
    tx.execute(sa.insert(warnings).values(**told, at_us=tx.now_us))


def _array_was_told(tx: Tx, window_id: str, array_id: str | None) -> bool:
    """Return whether another element of the array was notified; an array gets one notice, not one per element."""
    if array_id is None:
        return False
    query = (
        sa.select(warnings.c.attempt_id)
        .join(attempts, attempts.c.id == warnings.c.attempt_id)
        .where(warnings.c.window_id == window_id, attempts.c.array_id == array_id)
    )
    return tx.first(query.limit(1)) is not None


def _stop(owners: Owners, item: _InTheWay, tx: Tx) -> None:
    attempt = tx.first(sa.select(attempts).where(attempts.c.id == item.attempt["id"]))
    still = {window.id for window in stopping_at(tx, tx.now_us)}
    if attempt is None or attempt["state"] not in LIVE_ATTEMPT or item.window.id not in still:
        return
    why = text(
        "Its node {node} is under maintenance until {until}: {reason}. It goes back to the queue",
        node=item.node,
        until=minute(item.window.until_us),
        reason=item.window.reason,
    )
    request_stop(tx, owner_of(owners, attempt), attempt, StopReason.WITHDRAWN, why)


def ahead(node: str, window: PoolWindow) -> Text:
    """Return the notice for a job that will be stopped."""
    return text(
        "Node {node} is under maintenance from {begins}: unless it is over before, it is stopped then and goes back to "
        "the queue",
        node=node,
        begins=minute(window.from_us),
    )


def minute(at_us: int) -> str:
    """Return a time as text in UTC, to the minute."""
    return to_rfc3339(at_us)[:16].replace("T", " ") + " UTC"
