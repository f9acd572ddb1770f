"""Reads windows and the attempts on their nodes."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.queueing.tables import windows
from pearlstreet.compute.queueing.windows.model import NodeCards, PoolWindow, WindowKind, from_row
from pearlstreet.compute.scheduling.rows import Reservation
from pearlstreet.store.core import Row, Tx

_OPEN = (
    sa.select(windows)
    .where(windows.c.until_us > sa.bindparam("now_us"), windows.c.ended_us.is_(None))
    .order_by(windows.c.from_us, windows.c.id)
)
_LIVE = sa.select(attempts).where(attempts.c.state.in_(LIVE_ATTEMPT))


def open_windows(tx: Tx) -> list[PoolWindow]:
    """Return the windows that have not ended."""
    return [from_row(row) for row in tx.execute(_OPEN, {"now_us": tx.now_us}).mappings()]


def load_reservations(tx: Tx) -> list[Reservation]:
    """Return the planner's rows of all windows that have not ended."""
    return [row for window in open_windows(tx) for row in window.rows()]


def live_attempts(tx: Tx) -> Sequence[Row]:
    """Return the attempts that run or are about to."""
    return tx.rows(_LIVE)


def nodes_of(attempt: Row) -> set[str]:
    """Return the names of the nodes of an attempt."""
    return {task["node"] for task in attempt["placement"]["tasks"]}


def ends_us(attempt: Row) -> int:
    """Return when an attempt reaches its time limit (µs since 1970)."""
    begun_us = attempt["started_us"] or attempt["placed_us"]
    return int(begun_us + attempt["time_limit_s"] * US_PER_S)


def cards_at(tx: Tx, from_us: int, until_us: int) -> list[NodeCards]:
    """Return the cards of every present node, with those that may be in use or are held by other windows in the given time."""
    busy: dict[str, set[int]] = {}
    for attempt in live_attempts(tx):
        if ends_us(attempt) > from_us:
            for task in attempt["placement"]["tasks"]:
                busy.setdefault(task["node"], set()).update(device["index"] for device in task["devices"])
    taken: dict[str, set[int] | None] = {}
    for window in open_windows(tx):
        if window.from_us >= until_us or window.until_us <= from_us:
            continue
        for held in window.held:
            before = taken.get(held.node, set())
            whole = held.devices is None or before is None
            taken[held.node] = None if whole else {*(before or ()), *(held.devices or ())}
    found = []
    for node in all_nodes(tx):
        name = node.report.name
        models = {device.index: device.model for device in node.report.devices if device.healthy}
        gone = taken.get(name, set())
        if node.present:
            found.append(
                NodeCards(
                    name,
                    models,
                    frozenset(busy.get(name, ())),
                    frozenset(models if gone is None else gone),
                )
            )
    return found


def stopping_at(tx: Tx, before_us: int) -> list[PoolWindow]:
    """Return the maintenance windows that begin before `before_us` or have begun."""
    return [
        window
        for window in open_windows(tx)
        if window.kind is WindowKind.MAINTENANCE and window.from_us <= before_us
    ]
