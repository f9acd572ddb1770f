"""Tables of stored bytes and of quotas."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, metadata

storage_levels = sa.Table(
    "storage_levels",
    metadata,
    sa.Column("org_id", sa.String(40), primary_key=True),
    sa.Column("project_id", sa.String(40), primary_key=True),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Column("byte_us", sa.Text, nullable=False),
    sa.Column("changed_us", sa.BigInteger, nullable=False),
    sa.Column("metered_us", sa.BigInteger, nullable=False),
    sa.Column("stream", sa.Integer, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("price_version_id", sa.String(40), nullable=False),
    sa.Index("ix_storage_levels_metered", "metered_us"),
)
"""Bytes stored by each project: the apparent sizes of its artefacts, uploads and repositories; shared blobs count once per file.

`byte_us` (a whole number beyond 64 bits): byte-microseconds from `metered_us` to `changed_us`, both µs since 1970.
`stream`, `sequence`, `price_version_id`: key and prices of the next usage span.
"""

quotas = sa.Table(
    "quotas",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("resource", sa.String(80), nullable=False),
    sa.Column("guaranteed", sa.Float, nullable=True),
    sa.Column("maximum", sa.Float, nullable=True),
    sa.Column("borrow", sa.Boolean, nullable=False),
    sa.UniqueConstraint("org_id", "project_id", "resource"),
    info=named("qta", "resource"),
)
"""Quotas of an organisation (`project_id` "") or a project on one resource."""
