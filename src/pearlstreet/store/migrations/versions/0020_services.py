"""Services: drain, readiness, restarts and endpoints of attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision: str | None = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("drain_s", sa.Float(), nullable=True))
    op.add_column("attempts", sa.Column("is_ready", sa.Boolean(), nullable=True))
    op.add_column("attempts", sa.Column("restarts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempts", sa.Column("endpoints", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "endpoints")
    op.drop_column("attempts", "restarts")
    op.drop_column("attempts", "is_ready")
    op.drop_column("attempts", "drain_s")
