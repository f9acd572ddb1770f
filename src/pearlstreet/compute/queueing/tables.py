"""Tables of weights of fair share, policies and windows."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

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
