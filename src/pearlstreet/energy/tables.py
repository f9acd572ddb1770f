"""Tables of the package energy, without behaviour."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, metadata

energy_facts = sa.Table(
    "energy_facts",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("valid_from_us", sa.BigInteger, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("set_by", sa.String(80), nullable=False),
    sa.Column("set_us", sa.BigInteger, nullable=False),
)
"""Versions of the site's facts; never changed."""

energy_series = sa.Table(
    "energy_series",
    metadata,
    id_column(),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("origin", sa.JSON, nullable=False),
    sa.Column("hours", sa.Integer, nullable=False),
    sa.Column("first_us", sa.BigInteger, nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.String(80), nullable=False),
    sa.Column("made_us", sa.BigInteger, nullable=False),
    info=named("ser", "name"),
)

energy_days = sa.Table(
    "energy_days",
    metadata,
    sa.Column("series_id", sa.String(40), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hours", sa.JSON, nullable=False),
)
"""The hours of a series, a row for each day since 1970 UTC: 24 whole numbers, null where it has none."""

energy_measured = sa.Table(
    "energy_measured",
    metadata,
    id_column("attempt_id"),
    sa.Column("device_j", sa.BigInteger, nullable=False),
    sa.Column("start_us", sa.BigInteger, nullable=False),
    sa.Column("end_us", sa.BigInteger, nullable=False),
)
"""Measured energy of an attempt's accelerators in joules, from its start to its end."""
