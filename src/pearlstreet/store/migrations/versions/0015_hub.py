"""Repositories of data sets and models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_access_requests",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.Column("decided_us", sa.BigInteger(), nullable=True),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_access_requests")),
        sa.UniqueConstraint("repo_id", "user_id", name=op.f("uq_hub_access_requests_repo_id_user_id")),
    )
    op.create_table(
        "hub_commits",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("producer", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("repo_id", "id", name=op.f("pk_hub_commits")),
        sa.UniqueConstraint("repo_id", "number", name=op.f("uq_hub_commits_repo_id_number")),
    )
    op.create_table(
        "hub_contents",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("xet_hash", sa.String(length=64), nullable=True),
        sa.Column("segments", sa.LargeBinary(), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_hub_contents")),
    )
    op.create_index("ix_hub_contents_xet_hash", "hub_contents", ["xet_hash"], unique=False)
    op.create_table(
        "hub_dedup_chunks",
        sa.Column("chunk_hash", sa.String(length=64), nullable=False),
        sa.Column("xorb_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chunk_hash", "xorb_hash", name=op.f("pk_hub_dedup_chunks")),
    )
    op.create_index("ix_hub_dedup_chunks_xorb", "hub_dedup_chunks", ["xorb_hash"], unique=False)
    op.create_table(
        "hub_downloads",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("hour_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "commit_id", "user_id", "hour_us", name=op.f("pk_hub_downloads")),
    )
    op.create_table(
        "hub_pages",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "digest", name=op.f("pk_hub_pages")),
    )
    op.create_table(
        "hub_refs",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "kind", "name", name=op.f("pk_hub_refs")),
    )
    op.create_table(
        "hub_repo_contents",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "sha256", name=op.f("pk_hub_repo_contents")),
    )
    op.create_index("ix_hub_repo_contents_sha256", "hub_repo_contents", ["sha256"], unique=False)
    op.create_table(
        "hub_repos",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("name_key", sa.String(length=96), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("gate", sa.String(length=8), nullable=False),
        sa.Column("gate_days", sa.Integer(), nullable=True),
        sa.Column("jobs_only", sa.Boolean(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("downloads", sa.BigInteger(), nullable=False),
        sa.Column("commits", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_repos")),
        sa.UniqueConstraint("org_id", "kind", "name_key", name=op.f("uq_hub_repos_org_id_kind_name_key")),
        info={"id_prefix": "rep", "name_column": "name"},
    )
    op.create_index("ix_hub_repos_updated", "hub_repos", ["kind", "updated_us"], unique=False)
    op.create_table(
        "hub_roles",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("given_by", sa.String(length=80), nullable=False),
        sa.Column("given_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "user_id", name=op.f("pk_hub_roles")),
    )
    op.create_table(
        "hub_segment_xorbs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("xorb_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "xorb_hash", name=op.f("pk_hub_segment_xorbs")),
    )
    op.create_index("ix_hub_segment_xorbs_xorb", "hub_segment_xorbs", ["xorb_hash"], unique=False)
    op.create_table(
        "hub_shares",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("with_org_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "with_org_id", name=op.f("pk_hub_shares")),
    )
    op.create_table(
        "hub_staged",
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "sha256", name=op.f("pk_hub_staged")),
    )
    op.create_index("ix_hub_staged_org", "hub_staged", ["org_id"], unique=False)
    op.create_index("ix_hub_staged_sha256", "hub_staged", ["sha256"], unique=False)
    op.create_table(
        "hub_xorb_grants",
        sa.Column("xorb_hash", sa.String(length=64), nullable=False),
        sa.Column("repo_id", sa.String(length=40), nullable=False),
        sa.Column("first_chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("end_chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(
            "xorb_hash", "repo_id", "first_chunk", "end_chunk", name=op.f("pk_hub_xorb_grants")
        ),
    )
    op.create_index("ix_hub_xorb_grants_repo", "hub_xorb_grants", ["repo_id"], unique=False)
    op.create_table(
        "hub_xorbs",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body_bytes", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_hub_xorbs")),
    )
    op.create_index(op.f("ix_hub_xorbs_sha256"), "hub_xorbs", ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_hub_xorbs_sha256"), table_name="hub_xorbs")
    op.drop_table("hub_xorbs")
    op.drop_index("ix_hub_xorb_grants_repo", table_name="hub_xorb_grants")
    op.drop_table("hub_xorb_grants")
    op.drop_index("ix_hub_staged_sha256", table_name="hub_staged")
    op.drop_index("ix_hub_staged_org", table_name="hub_staged")
    op.drop_table("hub_staged")
    op.drop_table("hub_shares")
    op.drop_index("ix_hub_segment_xorbs_xorb", table_name="hub_segment_xorbs")
    op.drop_table("hub_segment_xorbs")
    op.drop_table("hub_roles")
    op.drop_index("ix_hub_repos_updated", table_name="hub_repos")
    op.drop_table("hub_repos")
    op.drop_index("ix_hub_repo_contents_sha256", table_name="hub_repo_contents")
    op.drop_table("hub_repo_contents")
    op.drop_table("hub_refs")
    op.drop_table("hub_pages")
    op.drop_table("hub_downloads")
    op.drop_index("ix_hub_dedup_chunks_xorb", table_name="hub_dedup_chunks")
    op.drop_table("hub_dedup_chunks")
    op.drop_index("ix_hub_contents_xet_hash", table_name="hub_contents")
    op.drop_table("hub_contents")
    op.drop_table("hub_commits")
    op.drop_table("hub_access_requests")
