"""Previews of files by content, and what the files of repositories hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision: str | None = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_previews",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=24), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "format", name=op.f("pk_hub_previews")),
    )
    op.add_column("hub_repos", sa.Column("facts", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("hub_repos", sa.Column("facts_commit", sa.String(length=40), nullable=True))


def downgrade() -> None:
    op.drop_column("hub_repos", "facts_commit")
    op.drop_column("hub_repos", "facts")
    op.drop_table("hub_previews")
