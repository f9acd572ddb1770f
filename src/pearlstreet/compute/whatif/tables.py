"""Table of what-if questions, without behaviour."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

what_ifs = sa.Table(
    "what_ifs",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=True, index=True),
    sa.Column("asked_by", sa.String(80), nullable=False),
    sa.Column("asked_us", sa.BigInteger, nullable=False),
    sa.Column("question", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("result", sa.JSON, nullable=True),
    sa.Column("message", sa.JSON, nullable=True),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
)
"""What-if questions and their answers; `org_id` null: about the whole center."""
