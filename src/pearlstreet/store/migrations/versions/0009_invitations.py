"""Invitations; each user's default organisation, and the organisation an account was created in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None

# Requests that named no organisation went to the only open one a user belonged to; with none or several they were refused.
_FILL_DEFAULT = """
UPDATE users SET default_org_id = (
    SELECT MIN(memberships.org_id) FROM memberships JOIN orgs ON orgs.id = memberships.org_id
    WHERE memberships.user_id = users.id AND orgs.state NOT IN ('closing', 'closed')
    HAVING COUNT(*) = 1
) WHERE operator_role IS NULL
"""
# Which organisation an account was created in was not kept. The first one it belonged to stands for it, so that an
# organisation that ends takes along the accounts that it would have taken along before.
_FILL_ORIGIN = """
UPDATE users SET origin_org_id = (
    SELECT MIN(first.org_id) FROM memberships AS first
    WHERE first.user_id = users.id AND first.created_us = (
        SELECT MIN(memberships.created_us) FROM memberships WHERE memberships.user_id = users.id
    )
) WHERE operator_role IS NULL
"""


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("invitee", sa.String(length=254), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("code_hash", sa.String(length=64), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=40), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_invitations_org_id_orgs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    for column in ("org_id", "state", "user_id"):
        op.create_index(op.f(f"ix_invitations_{column}"), "invitations", [column], unique=False)
    op.add_column("users", sa.Column("default_org_id", sa.String(length=40), nullable=True))
    op.add_column("users", sa.Column("origin_org_id", sa.String(length=40), nullable=True))
    op.execute(_FILL_DEFAULT)
    op.execute(_FILL_ORIGIN)


def downgrade() -> None:
    op.drop_column("users", "origin_org_id")
    op.drop_column("users", "default_org_id")
    for column in ("user_id", "state", "org_id"):
        op.drop_index(op.f(f"ix_invitations_{column}"), table_name="invitations")
    op.drop_table("invitations")
