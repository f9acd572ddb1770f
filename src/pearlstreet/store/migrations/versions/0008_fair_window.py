"""Indexes that serve the planner's window account by account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_jobs_queue"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_array"), table_name="jobs")
    op.create_index(
        "ix_jobs_array",
        "jobs",
        ["array_id", "state", "array_index"],
        unique=False,
        sqlite_where=sa.text("array_id IS NOT NULL"),
        postgresql_where=sa.text("array_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_limited_arrays",
        "jobs",
        ["org_id", "project_id"],
        unique=False,
        sqlite_where=sa.text("array_size IS NOT NULL AND array_max_running IS NOT NULL AND n_queued > 0"),
        postgresql_where=sa.text("array_size IS NOT NULL AND array_max_running IS NOT NULL AND n_queued > 0"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "submitted_us"], unique=False)
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        [
            "state",
            "org_id",
            "project_id",
            "blocked",
            sa.literal_column("priority DESC"),
            "submitted_us",
            "array_index",
            "not_before_us",
            "array_size",
            "array_max_running",
        ],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_jobs_waiting",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_index(
        "ix_jobs_limited_arrays",
        table_name="jobs",
        sqlite_where=sa.text("array_size IS NOT NULL AND array_max_running IS NOT NULL AND n_queued > 0"),
        postgresql_where=sa.text("array_size IS NOT NULL AND array_max_running IS NOT NULL AND n_queued > 0"),
    )
    op.drop_index(
        "ix_jobs_array",
        table_name="jobs",
        sqlite_where=sa.text("array_id IS NOT NULL"),
        postgresql_where=sa.text("array_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_jobs_array"), "jobs", ["array_id", "array_index"], unique=False)
    op.create_index(
        op.f("ix_jobs_queue"), "jobs", ["state", "blocked", "priority", "submitted_us"], unique=False
    )
