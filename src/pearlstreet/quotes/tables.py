"""Tables of quotes and of the lessons from finished runs and node benchmarks."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

quotes = sa.Table(
    "quotes",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("owner", sa.String(80), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("valid_until_us", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("question", sa.JSON, nullable=False),
    sa.Column("offers", sa.JSON, nullable=False),
    sa.Column("considered", sa.Integer, nullable=False),
    sa.Column("price_version_id", sa.String(40), nullable=False),
    sa.Column("price_number", sa.Integer, nullable=False),
    sa.Column("recipe", sa.String(200), nullable=False),
    sa.Column("accepted", sa.String(8), nullable=True),
    sa.Column("job_id", sa.String(40), nullable=True),
    sa.Column("teaches", sa.Boolean, nullable=False),
    sa.Index("ix_quotes_org", "org_id", "id"),
)
"""Quotes; only state and accepted offer change. `teaches`: its job has not been learnt from yet."""

lessons = sa.Table(
    "lessons",
    metadata,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("subject", sa.String(120), primary_key=True),
    sa.Column("device", sa.String(80), primary_key=True),
    sa.Column("source", sa.String(40), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("recipe", sa.String(200), nullable=False),
    sa.Column("expected", sa.Float, nullable=False),
    sa.Column("actual", sa.Float, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("forgotten_us", sa.BigInteger, nullable=True),
    sa.Index("ix_lessons_org", "org_id"),
)
"""What calibrates estimates. `run`: subject is a job, its quote is the source; device seconds estimated (without what was
learnt) and taken. `bench`: subject is a node; TFLOPS expected and measured. Forgotten ones stay, so that they are not learnt
again."""
