"""Tables of the pool: the machines engines own, and what was measured on them."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, lease_columns, metadata

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
    sa.Column("healthy", sa.Boolean, nullable=False),
    sa.Column("present", sa.Boolean, nullable=False),
    sa.Column("drained", sa.Boolean, nullable=False),
    sa.Column("drain_reason", sa.String(500), nullable=True),
    sa.Column("changed_us", sa.BigInteger, nullable=False),
)

node_health = sa.Table(
    "node_health",
    metadata,
    sa.Column("node", sa.String(120), primary_key=True),
    sa.Column("automatic", sa.Boolean, nullable=False),
    sa.Column("level", sa.String(8), nullable=False),
    sa.Column("findings", sa.JSON, nullable=False),
    sa.Column("history", sa.JSON, nullable=False),
    sa.Column("drained_us", sa.BigInteger, nullable=True),
    sa.Column("engine_told", sa.String(500), nullable=True),
    sa.Column("changed_us", sa.BigInteger, nullable=False),
)

burn_ins = sa.Table(
    "burn_ins",
    metadata,
    id_column(),
    sa.Column("node", sa.String(120), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("requested_us", sa.BigInteger, nullable=False),
    sa.Column("requested_by", sa.String(120), nullable=False),
    sa.Column("attempt_id", sa.String(40), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("message", sa.JSON(none_as_null=True), nullable=True),
    *lease_columns(),
    info=named("burn", "node"),
)

benchmarks = sa.Table(
    "benchmarks",
    metadata,
    id_column(),
    sa.Column("node", sa.String(120), nullable=False, index=True),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
