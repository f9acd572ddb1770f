"""Tables of notices. No behaviour."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, lease_columns, metadata

preferences = sa.Table(
    "notice_preferences",
    metadata,
    # A user, an organisation, or "center": the operators together.
    id_column("owner_id"),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("email", sa.String(254), nullable=True),
    # Until it is confirmed by the code that was sent there, nothing else is.
    sa.Column("email_confirmed_us", sa.BigInteger, nullable=True),
    sa.Column("code_hash", sa.String(64), nullable=True),
    sa.Column("code_until_us", sa.BigInteger, nullable=True),
    sa.Column("code_tries", sa.Integer, nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Column("updated_by", sa.String(80), nullable=False),
)
"""What an owner chose; `kinds`: kind → channels. What is not there is as the kind says."""

notices = sa.Table(
    "notices",
    metadata,
    id_column(),
    sa.Column("user_id", sa.String(40), nullable=False),
    sa.Column("event_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("read_us", sa.BigInteger, nullable=True),
    sa.Index("ix_notices_user", "user_id", "id"),
    sa.Index(
        "ix_notices_unread",
        "user_id",
        sqlite_where=sa.text("read_us IS NULL"),
        postgresql_where=sa.text("read_us IS NULL"),
    ),
)
"""Inboxes: a row a person and event. `payload` are the values that the kind's words name."""

webhooks = sa.Table(
    "webhooks",
    metadata,
    id_column(),
    # An organisation, or "center".
    sa.Column("owner_id", sa.String(40), nullable=False, index=True),
    sa.Column("url", sa.String(2048), nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("secret", sa.LargeBinary, nullable=False, info={"sealed": "webhook {id}"}),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since_us", sa.BigInteger, nullable=True),
    sa.Column("rests_until_us", sa.BigInteger, nullable=True),
    sa.Column("last_error", sa.JSON, nullable=True),
    sa.Column("last_success_us", sa.BigInteger, nullable=True),
)
"""`failures`: in a row, over all its deliveries; `rests_until_us`: nothing is sent there before."""

deliveries = sa.Table(
    "notice_deliveries",
    metadata,
    id_column(),
    sa.Column("event_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("channel", sa.String(16), nullable=False),
    # The webhook, or the owner whose address it was.
    sa.Column("target_id", sa.String(40), nullable=False),
    sa.Column("address", sa.String(254), nullable=True),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("last_error", sa.JSON, nullable=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    *lease_columns(),
    sa.Index("ix_notice_deliveries_due", "due_us"),
    sa.Index("ix_notice_deliveries_target", "target_id", "id"),
    sa.Index("ix_notice_deliveries_ended", "ended_us"),
)
"""What goes out: a row an event and receiver. `at_us`: when the event happened."""

told = sa.Table(
    "notice_told",
    metadata,
    sa.Column("reference", sa.String(160), primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
)
"""What was told of already and is not to be told again while it lasts, such as a key's end."""
