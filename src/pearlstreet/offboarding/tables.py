"""Tables of the package `offboarding`."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

closings = sa.Table(
    "closings",
    metadata,
    id_column(),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("asked_by", sa.String(80), nullable=False),
    sa.Column("asked_us", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("cancel_jobs", sa.Boolean, nullable=False),
    sa.Column("invoices", sa.JSON, nullable=False),
    sa.Column("balance_micro", sa.BigInteger, nullable=True),
    sa.Column("archive", sa.String(80), nullable=True),
    sa.Column("archive_bytes", sa.BigInteger, nullable=True),
    sa.Column("archive_sha256", sa.String(64), nullable=True),
    sa.Column("closed_us", sa.BigInteger, nullable=True),
)
"""Closings, one row per closing organisation, with its `id`. `archive` is the file's name, null once it is deleted."""
