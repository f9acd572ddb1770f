"""The index on queued jobs with the account first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_jobs_waiting"), table_name="jobs", sqlite_where=sa.text("state = 'queued'"))
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        [
            "org_id",
            "project_id",
            "blocked",
            sa.literal_column("priority DESC"),
            "submitted_us",
            "array_index",
            "not_before_us",
            "array_size",
            "array_max_running",
            "state",
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
    op.create_index(
        op.f("ix_jobs_waiting"),
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
