"""Approvals of projects for repositories that are used in jobs only, and withheld results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision: str | None = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_approvals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("requested_by", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.Column("decided_us", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_approvals")),
        sa.UniqueConstraint("repo_id", "project_id", name=op.f("uq_hub_approvals_repo_id_project_id")),
    )
    op.create_table(
        "hub_withheld",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "repo_id", name=op.f("pk_hub_withheld")),
    )


def downgrade() -> None:
    op.drop_table("hub_withheld")
    op.drop_table("hub_approvals")
