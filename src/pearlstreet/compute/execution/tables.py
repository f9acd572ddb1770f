"""Tables of attempts, what they hold, and the decayed usage that metering adds up."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, lease_columns, metadata

attempts = sa.Table(
    "attempts",
    metadata,
    id_column(),
    sa.Column("owner_kind", sa.String(16), nullable=False, server_default="job"),
    sa.Column("owner_id", sa.String(40), nullable=False, index=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("placement", sa.JSON, nullable=False),
    # What the planner knows of its request (NULL: it was not planned), and the array that limits how many run at once.
    sa.Column("planned", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("array_id", sa.String(40), nullable=True),
    sa.Column("why_here", sa.JSON, nullable=True),
    sa.Column("usage", sa.JSON, nullable=False),
    sa.Column("hold_id", sa.String(40), nullable=True),
    sa.Column("price_version_id", sa.String(40), nullable=False),
    sa.Column("hourly_micro", sa.BigInteger, nullable=False),
    sa.Column("stop_reason", sa.String(16), nullable=True),
    sa.Column("stop_asked_us", sa.BigInteger, nullable=True),
    sa.Column("placed_us", sa.BigInteger, nullable=False),
    sa.Column("started_us", sa.BigInteger, nullable=True),
    sa.Column("metered_until_us", sa.BigInteger, nullable=True),
    sa.Column("span_sequence", sa.Integer, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    sa.Column("end_reason", sa.String(24), nullable=True),
    sa.Column("exit_code", sa.Integer, nullable=True),
    sa.Column("message", sa.JSON, nullable=True),
    sa.Column("wall", sa.String(80), nullable=True),
    sa.Column("time_limit_s", sa.Float, nullable=False),
    sa.Column("covered_s", sa.Float, nullable=False),
    sa.Column("warned_us", sa.BigInteger, nullable=True),
    sa.Column("grace_s", sa.Float, nullable=False),
    # Time of its last checkpoint, and the work that its end cost: from there, or from its start, to the end.
    sa.Column("saved_us", sa.BigInteger, nullable=True),
    sa.Column("lost_us", sa.BigInteger, nullable=True),
    # Of a service (NULL: it is none): how long a drain waits, whether all tasks are ready, and where its ports are.
    sa.Column("drain_s", sa.Float, nullable=True),
    sa.Column("is_ready", sa.Boolean, nullable=True),
    sa.Column("restarts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("endpoints", sa.JSON(none_as_null=True), nullable=True),
    *lease_columns(),
    sa.Index("ix_attempts_due", "state", "due_us"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    id_column(),
    sa.Column("owner_kind", sa.String(16), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    # Attempt that wrote the checkpoint folder last, its engine, and whether its work is over.
    sa.Column("attempt_id", sa.String(40), nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("is_over", sa.Boolean, nullable=False),
    # Largest size that the attempt's disk limit permits.
    sa.Column("bytes_max", sa.BigInteger, nullable=False),
    # Number of saves, so that each has a task of its own.
    sa.Column("saves", sa.Integer, nullable=False),
    # Attempt of which the last state is stored.
    sa.Column("final_attempt_id", sa.String(40), nullable=True),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Column("stored_us", sa.BigInteger, nullable=True),
    sa.Column("saved_us", sa.BigInteger, nullable=True),
    sa.Column("problem", sa.JSON, nullable=True),
    *lease_columns(),
    sa.Index("ix_checkpoints_due", "due_us"),
)
"""Checkpoints in the object store, by the id of their owner, so that it can go on from them on another engine."""

checkpoint_files = sa.Table(
    "checkpoint_files",
    metadata,
    sa.Column("owner_id", sa.String(40), primary_key=True),
    sa.Column("path", sa.String(1024), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=True, index=True),
    sa.Column("executable", sa.Boolean, nullable=False),
    sa.Column("link_target", sa.Text, nullable=True),
)
"""What a stored checkpoint consists of: files (with the SHA-256 of their blobs), folders and links."""

allocations = sa.Table(
    "allocations",
    metadata,
    sa.Column("attempt_id", sa.String(40), primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("node", sa.String(120), primary_key=True),
    sa.Column("device", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("memory_share", sa.BigInteger, nullable=False),
    sa.Column("compute_share", sa.BigInteger, nullable=False),
    sa.Column("whole", sa.String(160), nullable=True, unique=True),
)
"""Shares of devices held by live attempts. `whole`: node/device of a whole card; unique, so no two attempts hold it."""

fair_use = sa.Table(
    "fair_use",
    metadata,
    sa.Column("org_id", sa.String(40), primary_key=True),
    sa.Column("project_id", sa.String(40), primary_key=True),
    sa.Column("pflops_h", sa.Float, nullable=False),
    sa.Column("cpu_h", sa.Float, nullable=False),
    sa.Column("memory_gib_h", sa.Float, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""Usage of each project, decayed with the half-life to `at_us`."""
