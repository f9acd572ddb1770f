"""Attempts belong to an owner of any kind and tell what a stop cost; a preparation knows the project for which it is built."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_attempts_job_id", table_name="attempts")
    op.alter_column("attempts", "job_id", new_column_name="owner_id")
    op.create_index("ix_attempts_owner_id", "attempts", ["owner_id"], unique=False)
    op.add_column(
        "attempts", sa.Column("owner_kind", sa.String(length=16), server_default="job", nullable=False)
    )
    op.add_column("attempts", sa.Column("saved_us", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("lost_us", sa.BigInteger(), nullable=True))
    op.add_column("preparations", sa.Column("project_id", sa.String(length=40), nullable=True))


def downgrade() -> None:
    op.drop_column("preparations", "project_id")
    op.execute("DELETE FROM attempts WHERE owner_kind <> 'job'")
    for name in ("owner_kind", "saved_us", "lost_us"):
        op.drop_column("attempts", name)
    op.drop_index("ix_attempts_owner_id", table_name="attempts")
    op.alter_column("attempts", "owner_id", new_column_name="job_id")
    op.create_index("ix_attempts_job_id", "attempts", ["job_id"], unique=False)
