"""Builds of environments wait in the table of requests, and a request says whether it is billed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision: str | None = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The requests of builds that are wanted already are written by the next start, which knows the engines.
    with op.batch_alter_table("waiting", schema=None) as batch_op:
        batch_op.add_column(sa.Column("billed", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade() -> None:
    op.execute("DELETE FROM waiting WHERE owner_kind = 'build'")
    # The older program places wanted builds itself, under an id that is chosen before.
    op.execute(
        "UPDATE preparations SET attempt_id = 'att_' || substr(id, 6), due_us = 0 "
        "WHERE state = 'wanted' AND attempt_id IS NULL"
    )
    with op.batch_alter_table("waiting", schema=None) as batch_op:
        batch_op.drop_column("billed")
