"""The tables that all packages share, and the metadata of all tables."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str = "id", *, primary_key: bool = True) -> sa.Column[str]:
    """Return a column for a prefixed id."""
    return sa.Column(name, sa.String(40), primary_key=primary_key, nullable=False)


def lease_columns() -> tuple[sa.Column[int], sa.Column[str], sa.Column[int]]:
    """Return the columns of a leasable row: its due time (null: never), and the token and end of its lease."""
    return (
        sa.Column("due_us", sa.BigInteger, nullable=True),
        sa.Column("lease_token", sa.String(40), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger, nullable=True),
    )


SEALING_CHECK = "sealing_check"
"""Name of the row of `meta` with the sealed check value, which exists from a center's first start on."""

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

named_leases = sa.Table(
    "named_leases",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("token", sa.String(40), nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
)

loop_failures = sa.Table(
    "loop_failures",
    metadata,
    sa.Column("loop", sa.String(64), primary_key=True),
    sa.Column("row_id", sa.String(40), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("quarantined", sa.Boolean, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)

state_events = sa.Table(
    "state_events",
    metadata,
    sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    sa.Column("entity_id", sa.String(40), nullable=False, index=True),
    sa.Column("from_state", sa.String(24), nullable=True),
    sa.Column("to_state", sa.String(24), nullable=False),
    sa.Column("event", sa.String(40), nullable=False),
    sa.Column("reason", sa.JSON, nullable=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,  # cursors require that numbers are never reused, even after deletions
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

outbox_cursors = sa.Table(
    "outbox_cursors",
    metadata,
    sa.Column("consumer", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("scope", sa.String(80), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False, info={"sealed": "idempotency:{scope}:{key}"}),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(80), nullable=False, index=True),
    sa.Column("org_id", sa.String(40), nullable=True, index=True),
    sa.Column("action", sa.String(64), nullable=False, index=True),
    sa.Column("target", sa.String(80), nullable=False, index=True),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("mac", sa.String(64), nullable=False),
)
