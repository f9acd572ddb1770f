"""Quotes, and what finished runs and node benchmarks taught."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lessons",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("device", sa.String(length=80), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("recipe", sa.String(length=200), nullable=False),
        sa.Column("expected", sa.Float(), nullable=False),
        sa.Column("actual", sa.Float(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("forgotten_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject", "device", name=op.f("pk_lessons")),
    )
    op.create_index("ix_lessons_org", "lessons", ["org_id"], unique=False)
    op.create_table(
        "quotes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("question", sa.JSON(), nullable=False),
        sa.Column("offers", sa.JSON(), nullable=False),
        sa.Column("considered", sa.Integer(), nullable=False),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.Column("price_number", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(length=200), nullable=False),
        sa.Column("accepted", sa.String(length=8), nullable=True),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("teaches", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotes")),
    )
    op.create_index("ix_quotes_org", "quotes", ["org_id", "id"], unique=False)
    op.add_column("jobs", sa.Column("quote_id", sa.String(length=40), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "quote_id")
    op.drop_index("ix_quotes_org", table_name="quotes")
    op.drop_table("quotes")
    op.drop_index("ix_lessons_org", table_name="lessons")
    op.drop_table("lessons")
