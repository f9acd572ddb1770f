"""Tables of jobs, dependencies, preparations and stored files."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, lease_columns, metadata

jobs = sa.Table(
    "jobs",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("owner", sa.String(80), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("spec", sa.JSON, nullable=True),
    sa.Column("ask", sa.JSON, nullable=True),
    sa.Column("preparations", sa.JSON, nullable=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason_code", sa.String(40), nullable=True),
    sa.Column("reason", sa.JSON, nullable=True),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("submitted_us", sa.BigInteger, nullable=False),
    sa.Column("not_before_us", sa.BigInteger, nullable=False),
    sa.Column("blocked", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("attempt_id", sa.String(40), nullable=True),
    sa.Column("price_version_id", sa.String(40), nullable=False),
    sa.Column("hourly_micro", sa.BigInteger, nullable=False),
    sa.Column("started_us", sa.BigInteger, nullable=True),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    sa.Column("exit_code", sa.Integer, nullable=True),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("array_id", sa.String(40), nullable=True),
    sa.Column("array_index", sa.Integer, nullable=True),
    sa.Column("array_size", sa.Integer, nullable=True),
    sa.Column("array_max_running", sa.Integer, nullable=True),
    sa.Column("n_queued", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_active", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_succeeded", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_failed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_cancelled", sa.Integer, nullable=False, server_default="0"),
    sa.Column("queue", sa.String(40), nullable=False, server_default="default"),
    sa.Column("served_device_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("quote_id", sa.String(40), nullable=True),
    sa.Index("ix_jobs_state", "state", "submitted_us"),
    sa.Index("ix_jobs_org", "org_id", "id"),
    info=named("job", "name"),
)
_ELEMENT = jobs.c.array_id.is_not(None)
sa.Index(
    "ix_jobs_array",
    jobs.c.array_id,
    jobs.c.state,
    jobs.c.array_index,
    sqlite_where=_ELEMENT,
    postgresql_where=_ELEMENT,
)

waits = sa.Table(
    "waits",
    metadata,
    sa.Column("job_id", sa.String(40), primary_key=True),
    sa.Column("on_id", sa.String(40), primary_key=True),
    sa.Column("condition", sa.String(16), nullable=False),
    sa.Index("ix_waits_on", "on_id"),
)
"""Conditions of queued jobs: another job (`succeeded`, `ended`) or a preparation (`ready`) that each waits for."""

preparations = sa.Table(
    "preparations",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    # Project of the job that requested it last, for which the build is metered.
    sa.Column("project_id", sa.String(40), nullable=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt_id", sa.String(40), nullable=True),
    sa.Column("result", sa.Text, nullable=True),
    sa.Column("message", sa.JSON, nullable=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=True),
    *lease_columns(),
    sa.UniqueConstraint("org_id", "kind", "digest"),
)

uploads = sa.Table(
    "uploads",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False, index=True),
    # Project named by the sender or tied to its key; NULL: usable in all projects of the organisation.
    sa.Column("project_id", sa.String(40), nullable=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("owner", sa.String(80), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    info=named("upl", "name"),
)

artefacts = sa.Table(
    "artefacts",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("job_id", sa.String(40), nullable=False, index=True),
    sa.Column("attempt_id", sa.String(40), nullable=False),
    sa.Column("path", sa.String(1024), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=True),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("attempt_id", "path"),
    sa.Index("ix_artefacts_expires", "expires_us"),
    info=named("art", "path"),
)
"""Output files of jobs. `expires_us` null: kept for ever; `pinned`: kept regardless of `expires_us`."""

retention_rules = sa.Table(
    "retention_rules",
    metadata,
    sa.Column("org_id", sa.String(40), primary_key=True),
    sa.Column("project_id", sa.String(40), primary_key=True),
    sa.Column("days", sa.Integer, nullable=False),
)
"""Days for which outputs of an organisation (`project_id` "") or a project are kept; 0: for ever."""

idle_attempts = sa.Table(
    "idle_attempts",
    metadata,
    sa.Column("attempt_id", sa.String(40), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False, index=True),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("job_id", sa.String(40), nullable=False),
    sa.Column("cards_bp", sa.BigInteger, nullable=False),
    sa.Column("hourly_micro", sa.BigInteger, nullable=False),
    sa.Column("idle_us", sa.BigInteger, nullable=False),
    sa.Column("first_us", sa.BigInteger, nullable=False),
    sa.Column("warned_us", sa.BigInteger, nullable=True),
    sa.Column("released_us", sa.BigInteger, nullable=True),
    sa.Column("saved_micro", sa.BigInteger, nullable=False),
)
"""Attempts whose accelerators were idle: for how long in all, and what the center did. `first_us`: when that was first seen."""
