"""Revisions that jobs read and make."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision: str | None = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_uses",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=True),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("message", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_uses")),
    )
    op.create_index("ix_hub_uses_job", "hub_uses", ["job_id"], unique=False)
    op.create_index("ix_hub_uses_repo", "hub_uses", ["repo_id"], unique=False)
    op.create_index("ix_hub_uses_waiting", "hub_uses", ["state", "at_us"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_hub_uses_waiting", table_name="hub_uses")
    op.drop_index("ix_hub_uses_repo", table_name="hub_uses")
    op.drop_index("ix_hub_uses_job", table_name="hub_uses")
    op.drop_table("hub_uses")
