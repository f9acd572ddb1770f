"""Storage: levels to be metered, how long outputs are kept, sizes of what is prepared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels = None
depends_on = None

SQLITE_NOW_US = "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000)"
POSTGRESQL_NOW_US = "CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)"
LEVELS = """
INSERT INTO storage_levels
    (org_id, project_id, stored_bytes, byte_us, changed_us, metered_us, stream, sequence, price_version_id)
SELECT org_id, project_id, sum(size_bytes), '0', NOW_US, NOW_US, 0, 0, price
FROM (
    SELECT uploads.org_id, coalesce(uploads.project_id, projects.id) AS project_id, uploads.size_bytes
    FROM uploads LEFT JOIN projects ON projects.org_id = uploads.org_id AND projects.slug = 'default'
    UNION ALL
    SELECT artefacts.org_id, jobs.project_id, artefacts.size_bytes
    FROM artefacts JOIN jobs ON jobs.id = artefacts.job_id
) AS files
CROSS JOIN (
    SELECT id AS price FROM ledger_price_versions WHERE valid_from_us <= NOW_US
    ORDER BY valid_from_us DESC, number DESC LIMIT 1
) AS prices
WHERE project_id IS NOT NULL
GROUP BY org_id, project_id, price
"""
"""What is stored now is billed from now on. Two sums over files: a million of them take seconds."""


def upgrade() -> None:
    op.create_table(
        "retention_rules",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "project_id", name=op.f("pk_retention_rules")),
    )
    op.create_table(
        "storage_levels",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("byte_us", sa.Text(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.Column("metered_us", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "project_id", name=op.f("pk_storage_levels")),
    )
    op.create_index("ix_storage_levels_metered", "storage_levels", ["metered_us"], unique=False)
    op.add_column("artefacts", sa.Column("expires_us", sa.BigInteger(), nullable=True))
    op.add_column("artefacts", sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_artefacts_expires", "artefacts", ["expires_us"], unique=False)
    op.add_column("preparations", sa.Column("size_bytes", sa.BigInteger(), nullable=True))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(LEVELS.replace("NOW_US", SQLITE_NOW_US if is_sqlite else POSTGRESQL_NOW_US))


def downgrade() -> None:
    op.drop_column("preparations", "size_bytes")
    op.drop_index("ix_artefacts_expires", table_name="artefacts")
    op.drop_column("artefacts", "pinned")
    op.drop_column("artefacts", "expires_us")
    op.drop_index("ix_storage_levels_metered", table_name="storage_levels")
    op.drop_table("storage_levels")
    op.drop_table("retention_rules")
