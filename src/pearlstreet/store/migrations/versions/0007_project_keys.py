"""Keys tied to a project, and uploads brought with one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("project_id", sa.String(length=40), nullable=True))
    op.add_column("uploads", sa.Column("project_id", sa.String(length=40), nullable=True))


def downgrade() -> None:
    # Without its project such a key would work in the whole organisation.
    op.execute(
        "UPDATE api_keys SET revoked_us = created_us WHERE project_id IS NOT NULL AND revoked_us IS NULL"
    )
    op.drop_column("uploads", "project_id")
    op.drop_column("api_keys", "project_id")
