"""Waiting requests of owners of every kind stand in one table, and attempts keep what the planner knows of theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels = None
depends_on = None

BATCH = 1_000
HISTORY = 5_000
"""Ended attempts that keep what the planner learns from."""
ENDED = ("succeeded", "failed", "cancelled")
_COMMON: tuple[str, ...] = (
    "org_id",
    "project_id",
    "priority",
    "submitted_us",
    "not_before_us",
    "attempts",
    "served_device_us",
)
_COMMON += ("price_version_id", "queue", "array_id", "array_index", "array_size", "array_max_running", "name")
jobs = sa.table(
    "jobs",
    *(sa.column(name) for name in ("id", "owner", "state", "blocked", "reason_code", *_COMMON)),
    sa.column("ask", sa.JSON),
    sa.column("reason", sa.JSON),
)
attempts = sa.table(
    "attempts",
    *(
        sa.column(name)
        for name in ("id", "owner_kind", "owner_id", "state", "end_reason", "exit_code", "array_id")
    ),
    sa.column("planned", sa.JSON(none_as_null=True)),
)


def upgrade() -> None:
    _create_table()
    op.add_column("attempts", sa.Column("planned", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("attempts", sa.Column("array_id", sa.String(length=40), nullable=True))
    _fill_waiting()
    _fill_planned()
    for name in ("ix_jobs_waiting", "ix_jobs_limited_arrays"):
        op.drop_index(name, table_name="jobs")


def _create_table() -> None:
    table = op.create_table(
        "waiting",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("request", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=40), nullable=False),
        sa.Column("submitted_us", sa.BigInteger(), nullable=False),
        sa.Column("not_before_us", sa.BigInteger(), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("served_device_us", sa.BigInteger(), nullable=False),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.Column("array_id", sa.String(length=40), nullable=True),
        sa.Column("array_index", sa.Integer(), nullable=True),
        sa.Column("array_size", sa.Integer(), nullable=True),
        sa.Column("array_max_running", sa.Integer(), nullable=True),
        sa.Column("reason_code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    order: list[Any] = ["org_id", "project_id", "blocked", sa.literal_column("priority DESC"), "submitted_us"]
    order += ["array_index", "not_before_us", "array_size", "array_max_running"]
    op.create_index("ix_waiting_order", table.name, order, unique=False)
    partial: Iterable[tuple[str, list[str], str]] = (
        ("ix_waiting_array", ["array_id", "array_index"], "array_id IS NOT NULL"),
        ("ix_waiting_submitted", ["submitted_us"], "array_id IS NULL"),
        (
            "ix_waiting_limited_arrays",
            ["org_id", "project_id"],
            "array_size IS NOT NULL AND array_max_running IS NOT NULL",
        ),
    )
    for name, columns, condition in partial:
        where = sa.text(condition)
        op.create_index(name, table.name, columns, unique=False, sqlite_where=where, postgresql_where=where)


def _user_digest(owner: str) -> str:
    return hashlib.blake2b(owner.split(" ")[0].encode(), digest_size=8).hexdigest()


def _fill_waiting() -> None:
    """Add a request for each queued job, and one for each array that has not ended."""
    waiting = sa.table(
        "waiting",
        *(
            sa.column(name)
            for name in ("id", "owner_kind", "user_digest", "blocked", "reason_code", *_COMMON)
        ),
        sa.column("request", sa.JSON(none_as_null=True)),
        sa.column("reason", sa.JSON(none_as_null=True)),
    )
    is_array = jobs.c.array_size.is_not(None)
    waits = sa.or_(
        sa.and_(~is_array, jobs.c.state == "queued"), sa.and_(is_array, jobs.c.state.not_in(ENDED))
    )
    connection, after = op.get_bind(), ""
    while True:
        query = sa.select(jobs).where(waits, jobs.c.id > after).order_by(jobs.c.id).limit(BATCH)
        rows = connection.execute(query).mappings().all()
        if not rows:
            return
        after = rows[-1]["id"]
        found = [_request(row) for row in rows]
        connection.execute(sa.insert(waiting), found)


def _request(row: sa.RowMapping) -> dict[str, Any]:
    of_element = row["array_id"] is not None
    return {name: row[name] for name in _COMMON} | {
        "id": row["id"],
        "owner_kind": "job",
        "user_digest": _user_digest(row["owner"]),
        "blocked": bool(row["blocked"]),
        "request": None if of_element else row["ask"],
        "reason_code": row["reason_code"],
        "reason": row["reason"],
    }


def _fill_planned() -> None:
    """Note in attempts that have not ended, and in the newest that succeeded, what the planner knows of their jobs."""
    connection = op.get_bind()
    mine = attempts.c.owner_kind == "job"
    alive = sa.select(attempts.c.id).where(mine, attempts.c.state != "ended")
    over = sa.select(attempts.c.id).where(mine, attempts.c.state == "ended", attempts.c.exit_code == 0)
    ids = list(connection.execute(alive).scalars())
    ids += connection.execute(over.order_by(attempts.c.id.desc()).limit(HISTORY)).scalars()
    parent = jobs.alias("parent")
    columns = [
        jobs.c[name] for name in ("priority", "submitted_us", "owner", "name", "queue", "served_device_us")
    ]
    query = (
        sa.select(attempts.c.id, attempts.c.state, jobs.c.array_id, *columns)
        .add_columns(sa.type_coerce(sa.func.coalesce(jobs.c.ask, parent.c.ask), sa.JSON).label("ask"))
        .select_from(attempts)
        .join(jobs, jobs.c.id == attempts.c.owner_id)
        .join(parent, parent.c.id == jobs.c.array_id, isouter=True)
    )
    change = sa.update(attempts).where(attempts.c.id == sa.bindparam("of_id"))
    for start in range(0, len(ids), BATCH // 2):
        part = query.where(attempts.c.id.in_(ids[start : start + BATCH // 2]))
        rows = connection.execute(part).mappings().all()
        values = [
            {"of_id": row["id"], "array_id": row["array_id"], "planned": _planned(row)}
            for row in rows
            if row["ask"]
        ]
        if values:
            connection.execute(change, values)


def _planned(row: sa.RowMapping) -> dict[str, Any]:
    # The device time of a job that ended includes that of the attempt, which is added to it again.
    served_us = row["served_device_us"] if row["state"] != "ended" else 0
    return {
        "request": row["ask"],
        "priority": row["priority"],
        "submitted_us": row["submitted_us"],
        "user": _user_digest(row["owner"]),
        "name": row["name"],
        "queue": row["queue"],
        "served_device_us": served_us,
    }


def downgrade() -> None:
    queued, limited = (
        sa.text("state = 'queued'"),
        sa.text("array_size IS NOT NULL AND array_max_running IS NOT NULL AND n_queued > 0"),
    )
    order: list[Any] = ["org_id", "project_id", "blocked", sa.literal_column("priority DESC"), "submitted_us"]
    order += ["array_index", "not_before_us", "array_size", "array_max_running", "state"]
    op.create_index(
        "ix_jobs_waiting", "jobs", order, unique=False, sqlite_where=queued, postgresql_where=queued
    )
    op.create_index(
        "ix_jobs_limited_arrays",
        "jobs",
        ["org_id", "project_id"],
        unique=False,
        sqlite_where=limited,
        postgresql_where=limited,
    )
    for name in ("array_id", "planned"):
        op.drop_column("attempts", name)
    op.drop_table("waiting")
