"""The index of the search for repositories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision: str | None = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_terms",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column(
            "term",
            sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "term", name=op.f("pk_hub_terms")),
    )
    op.create_index("ix_hub_terms_term", "hub_terms", ["term", "repo_id", "weight"], unique=False)
    # The background index then writes the terms of every repository that there is.
    op.execute(sa.text("UPDATE hub_repos SET facts_commit = NULL"))


def downgrade() -> None:
    op.drop_index("ix_hub_terms_term", table_name="hub_terms")
    op.drop_table("hub_terms")
