"""Tables of waiting requests, weights of fair share, policies and windows."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

waiting = sa.Table(
    "waiting",
    metadata,
    id_column(),
    sa.Column("owner_kind", sa.String(16), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("user_digest", sa.String(16), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("request", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("queue", sa.String(40), nullable=False),
    sa.Column("submitted_us", sa.BigInteger, nullable=False),
    sa.Column("not_before_us", sa.BigInteger, nullable=False),
    sa.Column("blocked", sa.Boolean, nullable=False),
    sa.Column("billed", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("served_device_us", sa.BigInteger, nullable=False),
    sa.Column("price_version_id", sa.String(40), nullable=False),
    sa.Column("array_id", sa.String(40), nullable=True),
    sa.Column("array_index", sa.Integer, nullable=True),
    sa.Column("array_size", sa.Integer, nullable=True),
    sa.Column("array_max_running", sa.Integer, nullable=True),
    sa.Column("reason_code", sa.String(40), nullable=True),
    sa.Column("reason", sa.JSON(none_as_null=True), nullable=True),
)
"""Requests of owners of every kind that wait for machines; `id` is the owner's id.

A row is written and deleted in the transaction that changes its owner. Of an array there is a row for each element that waits, and
until the array ends one with `array_size`, which is not planned itself and holds the `request` of all. `blocked`: its owner waits
for something else, so it is not planned.
"""
sa.Index(
    "ix_waiting_order",
    waiting.c.org_id,
    waiting.c.project_id,
    waiting.c.blocked,
    waiting.c.priority.desc(),
    waiting.c.submitted_us,
    waiting.c.array_index,
    waiting.c.not_before_us,
    waiting.c.array_size,
    waiting.c.array_max_running,
)
"""The requests of each account in planning order; a planning cycle counts them from this index alone."""
_ELEMENT = waiting.c.array_id.is_not(None)
sa.Index(
    "ix_waiting_array",
    waiting.c.array_id,
    waiting.c.array_index,
    sqlite_where=_ELEMENT,
    postgresql_where=_ELEMENT,
)
_WHOLE = waiting.c.array_id.is_(None)
sa.Index("ix_waiting_submitted", waiting.c.submitted_us, sqlite_where=_WHOLE, postgresql_where=_WHOLE)
_LIMITED_ARRAY = sa.and_(waiting.c.array_size.is_not(None), waiting.c.array_max_running.is_not(None))
sa.Index(
    "ix_waiting_limited_arrays",
    waiting.c.org_id,
    waiting.c.project_id,
    sqlite_where=_LIMITED_ARRAY,
    postgresql_where=_LIMITED_ARRAY,
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("org_id", sa.String(40), primary_key=True),
    sa.Column("project_id", sa.String(40), primary_key=True),
    sa.Column("weight", sa.Float, nullable=False),
)
"""Weights of fair share that were set; the default is 1."""

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("planner", sa.JSON, nullable=False),
    sa.Column("queues", sa.JSON, nullable=False),
    sa.Column("default_queue", sa.String(40), nullable=False),
    sa.Column("made_by", sa.String(80), nullable=False),
    sa.Column("made_us", sa.BigInteger, nullable=False),
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("back_to", sa.Integer, nullable=True),
)
"""All versions of the scheduling policy; the one with the largest number is in force. Rows never change.

`planner`: its configuration; `queues`: title and admitted projects by name; `back_to`: the version of which it is a copy.
"""

windows = sa.Table(
    "windows",
    metadata,
    id_column(),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("nodes", sa.JSON, nullable=False),
    sa.Column("model", sa.String(80), nullable=True),
    sa.Column("cards", sa.Integer, nullable=True),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("from_us", sa.BigInteger, nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("made_by", sa.String(80), nullable=False),
    sa.Column("made_us", sa.BigInteger, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    sa.Index("ix_windows_until", "until_us"),
)
"""Nodes, or a number of cards of a model, that are kept free for a time: maintenance, or a reservation for `org_id`.

`ended_us`: time at which it was ended early.
"""

warnings = sa.Table(
    "warnings",
    metadata,
    sa.Column("window_id", sa.String(40), primary_key=True),
    sa.Column("attempt_id", sa.String(40), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""Attempts whose owners were notified that a window will stop them, with the time of the notification."""
