"""Notices to the owner of a job about things that have not failed: maintenance, deadlines, missing mounts."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from pearlstreet.base.text import Text, text
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import deadlines
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing.tables import warnings
from pearlstreet.compute.queueing.windows.loop import ahead as words_ahead
from pearlstreet.compute.queueing.windows.rows import open_windows
from pearlstreet.store.core import Row, Tx

CANNOT_SHOW = ("landlock", "rlimits")
"""Isolation methods that can hide a path but cannot mount one."""


def notices(tx: Tx, row: Row) -> tuple[Text, ...]:
    """Return the notices of a job."""
    return (*_deadline(tx, row), *_maintenance(tx, row), *_mounts_missing(tx, row))


def _maintenance(tx: Tx, row: Row) -> Iterator[Text]:
    """Yield a notice for each maintenance window that will stop the running attempt."""
    if row["attempt_id"] is None or JobState(row["state"]) not in (JobState.STARTING, JobState.RUNNING):
        return
    told = warnings.c.attempt_id == row["attempt_id"]
    ahead = {item["window_id"] for item in tx.rows(sa.select(warnings).where(told))}
    for window in open_windows(tx) if ahead else ():
        if window.id in ahead:
            placement = tx.scalar(sa.select(attempts.c.placement).where(attempts.c.id == row["attempt_id"]))
            nodes = {task["node"] for task in placement["tasks"]} & {held.node for held in window.held}
            yield words_ahead(min(nodes, default="-"), window)


def _deadline(tx: Tx, row: Row) -> Iterator[Text]:
    ask = row["ask"] or tx.scalar(sa.select(jobs.c.ask).where(jobs.c.id == row["array_id"])) or {}
    deadline_us = ask.get("deadline_us")
    if deadline_us is None:
        return
    if (row["ended_us"] or tx.now_us) > deadline_us:
        yield deadlines.words(deadlines.MISSED, deadline_us)
    elif row["state"] == JobState.QUEUED.value and deadlines.is_noted(tx, row["id"], deadlines.AT_RISK):
        yield deadlines.words(deadlines.AT_RISK, deadline_us)


def _mounts_missing(tx: Tx, row: Row) -> Iterator[Text]:
    if row["attempt_id"] is None:
        return
    spec = row["spec"] or tx.scalar(sa.select(jobs.c.spec).where(jobs.c.id == row["array_id"])) or {}
    wanted = sorted(name for name, one in (spec.get("inputs") or {}).items() if one.get("mount"))
    wall = tx.scalar(sa.select(attempts.c.wall).where(attempts.c.id == row["attempt_id"])) if wanted else None
    if wall and wall.startswith(CANNOT_SHOW):
        yield text(
            "The isolation {wall} of this machine cannot show inputs at their mount. They are at {variables}",
            wall=wall,
            variables=", ".join(f"$PEARL_INPUT_{name}" for name in wanted),
        )
