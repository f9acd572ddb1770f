"""Tables of repositories, their revisions and access to them, and of the stored bytes of their files."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, metadata

repos = sa.Table(
    "hub_repos",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(96), nullable=False),
    # The name in lower case: names that differ only in case would clash on some systems.
    sa.Column("name_key", sa.String(96), nullable=False),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("gate", sa.String(8), nullable=False),
    sa.Column("gate_days", sa.Integer, nullable=True),
    sa.Column("jobs_only", sa.Boolean, nullable=False),
    sa.Column("card", sa.JSON, nullable=False),
    # Words of name, card and tags that searches look in, in lower case.
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("downloads", sa.BigInteger, nullable=False),
    sa.Column("commits", sa.Integer, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    # What the files of the newest commit on `main` hold, and that commit; null until they were looked into.
    sa.Column("facts", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("facts_commit", sa.String(40), nullable=True),
    sa.UniqueConstraint("org_id", "kind", "name_key"),
    sa.Index("ix_hub_repos_updated", "kind", "updated_us"),
    info=named("rep", "name"),
)
"""Repositories. `commits`: number of the newest commit; `size_bytes`: logical size, which counts in the storage level."""

shares = sa.Table(
    "hub_shares",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("with_org_id", sa.String(40), primary_key=True),
)
"""Organisations whose members may see a repository of another organisation."""

roles = sa.Table(
    "hub_roles",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("user_id", sa.String(40), primary_key=True),
    sa.Column("role", sa.String(8), nullable=False),
    sa.Column("given_by", sa.String(80), nullable=False),
    sa.Column("given_us", sa.BigInteger, nullable=False),
)

access_requests = sa.Table(
    "hub_access_requests",
    metadata,
    id_column(),
    sa.Column("repo_id", sa.String(40), nullable=False),
    sa.Column("user_id", sa.String(40), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("decided_by", sa.String(80), nullable=True),
    sa.Column("decided_us", sa.BigInteger, nullable=True),
    sa.Column("expires_us", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("repo_id", "user_id"),
)

refs = sa.Table(
    "hub_refs",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("commit_id", sa.String(40), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)

commits = sa.Table(
    "hub_commits",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("parent_id", sa.String(40), nullable=True),
    sa.Column("title", sa.String(500), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("author", sa.String(80), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("manifest", sa.LargeBinary, nullable=False),
    sa.Column("producer", sa.JSON(none_as_null=True), nullable=True),
    sa.UniqueConstraint("repo_id", "number"),
)
"""Commits; `manifest` lists the pages of the file tree (`tree.py`)."""

pages = sa.Table(
    "hub_pages",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Pages of file trees, shared by the commits of a repository."""

repo_contents = sa.Table(
    "hub_repo_contents",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Index("ix_hub_repo_contents_sha256", "sha256"),
)
"""Different contents of the files of a repository in all its revisions: the references that keep bytes from collection."""

staged = sa.Table(
    "hub_staged",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_hub_staged_sha256", "sha256"),
    sa.Index("ix_hub_staged_org", "org_id"),
)
"""Contents that were sent to a repository whole and verified, and that no commit names yet."""

contents = sa.Table(
    "hub_contents",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("xet_hash", sa.String(64), nullable=True),
    sa.Column("segments", sa.LargeBinary, nullable=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_hub_contents_xet_hash", "xet_hash"),
)
"""Where the bytes of a content are: `segments` null: a blob of that name; else chunks of xorbs (`xet/recipe.py`)."""

previews = sa.Table(
    "hub_previews",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("format", sa.String(24), primary_key=True),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""What contents hold, as one reader saw it (`preview/`); shown only to those who may download a file with this content."""

terms = sa.Table(
    "hub_terms",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    # Compared by code points on every database, so that a prefix is a range.
    sa.Column(
        "term", sa.String(80).with_variant(sa.String(80, collation="C"), "postgresql"), primary_key=True
    ),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Index("ix_hub_terms_term", "term", "repo_id", "weight"),
)
"""Index of the search: words, Chinese bigrams and facts of names, tags and cards (`search/`)."""

xorbs = sa.Table(
    "hub_xorbs",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("body_bytes", sa.Integer, nullable=False),
    sa.Column("chunks", sa.Integer, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""Stored xorbs: files of compressed chunks. `sha256`: blob with the body and, behind it, the index of the chunks."""

xorb_grants = sa.Table(
    "hub_xorb_grants",
    metadata,
    sa.Column("xorb_hash", sa.String(64), primary_key=True),
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("first_chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("end_chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Index("ix_hub_xorb_grants_repo", "repo_id"),
)
"""Ranges of chunks that were sent to a repository or are part of its files; only its readers may refer to them."""

segment_xorbs = sa.Table(
    "hub_segment_xorbs",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("xorb_hash", sa.String(64), primary_key=True),
    sa.Index("ix_hub_segment_xorbs_xorb", "xorb_hash"),
)
"""Xorbs that the segments of a content refer to: the references that keep xorbs from collection."""

dedup_chunks = sa.Table(
    "hub_dedup_chunks",
    metadata,
    sa.Column("chunk_hash", sa.String(64), primary_key=True),
    sa.Column("xorb_hash", sa.String(64), primary_key=True),
    sa.Index("ix_hub_dedup_chunks_xorb", "xorb_hash"),
)
"""Chunks that clients may ask for before they send data."""

uses = sa.Table(
    "hub_uses",
    metadata,
    id_column(),
    sa.Column("repo_id", sa.String(40), nullable=False),
    sa.Column("commit_id", sa.String(40), nullable=True),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("job_id", sa.String(40), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("message", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_hub_uses_repo", "repo_id"),
    sa.Index("ix_hub_uses_job", "job_id"),
    sa.Index("ix_hub_uses_waiting", "state", "at_us"),
)
"""Revisions that jobs read (`input`), and repositories whose next revision their files become (`output`).

`commit_id` null and `state` waiting: the job has not ended. `name`: name of the input, or pattern of the output.
"""

approvals = sa.Table(
    "hub_approvals",
    metadata,
    id_column(),
    sa.Column("repo_id", sa.String(40), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("requested_by", sa.String(80), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("decided_by", sa.String(80), nullable=True),
    sa.Column("decided_us", sa.BigInteger, nullable=True),
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("repo_id", "project_id"),
)
"""Requests of projects to use a repository in their jobs, and the decisions on them."""

withheld = sa.Table(
    "hub_withheld",
    metadata,
    sa.Column("job_id", sa.String(40), primary_key=True),
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""Jobs whose results are withheld (`withheld`, later `released`), and the repository that caused it."""

downloads = sa.Table(
    "hub_downloads",
    metadata,
    sa.Column("repo_id", sa.String(40), primary_key=True),
    sa.Column("commit_id", sa.String(40), primary_key=True),
    sa.Column("user_id", sa.String(40), primary_key=True),
    sa.Column("hour_us", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
"""Audit of downloads: one row per person, revision and hour."""
