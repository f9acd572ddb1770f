"""Tables of notices."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, lease_columns, metadata

preferences = sa.Table(
    "notice_preferences",
    metadata,
    # Id of a user or organisation, or "center" for the operators together.
    id_column("owner_id"),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("email", sa.String(254), nullable=True),
    # NULL: not confirmed, and only the confirmation code is sent there.
    sa.Column("email_confirmed_us", sa.BigInteger, nullable=True),
    sa.Column("code_hash", sa.String(64), nullable=True),
    sa.Column("code_until_us", sa.BigInteger, nullable=True),
    sa.Column("code_tries", sa.Integer, nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Column("updated_by", sa.String(80), nullable=False),
)
"""Preferences of owners. `kinds` holds the chosen channels by kind; other kinds have their default channels."""

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
"""Inboxes, with one row per user and event. `payload` holds the values for the kind's texts."""

webhooks = sa.Table(
    "webhooks",
    metadata,
    id_column(),
    # Id of an organisation, or "center" for the operators.
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
"""Webhooks. `failures` counts consecutive failed tries of all deliveries; `rests_until_us` is the end of the back-off."""

deliveries = sa.Table(
    "notice_deliveries",
    metadata,
    id_column(),
    sa.Column("event_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("channel", sa.String(16), nullable=False),
    # Id of the webhook, or of the owner of the address.
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
"""Deliveries, with one row per event and receiver. `at_us` is the time of the event."""

notice_dedup = sa.Table(
    "notice_told",
    metadata,
    sa.Column("reference", sa.String(160), primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
)
"""Conditions that were notified and must not be notified again while they last, such as an expiring key."""
