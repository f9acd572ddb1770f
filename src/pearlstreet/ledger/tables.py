"""Tables of the ledger. The triggers in `guards` protect rows that must not change."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.tables import id_column, metadata

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

DUE, POSTED, FREE = "due", "posted", "free"
"""States of a span: to be posted, posted (with its `charge_id`), or never billed (with the reason `why_not`)."""

ledger_site = sa.Table(
    "ledger_site",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.JSON, nullable=False),
)
"""Billing settings of the center, in one row."""

ledger_buyers = sa.Table(
    "ledger_buyers",
    metadata,
    id_column("org_id"),
    sa.Column("document", sa.JSON, nullable=False),
)

price_versions = sa.Table(
    "ledger_price_versions",
    metadata,
    id_column(),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("valid_from_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("zone", sa.String(64), nullable=False),
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("published_by", sa.String(80), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)

price_rules = sa.Table(
    "ledger_price_rules",
    metadata,
    sa.Column("version_id", sa.String(40), sa.ForeignKey("ledger_price_versions.id"), primary_key=True),
    sa.Column("resource", sa.String(120), primary_key=True),
    sa.Column("kind", sa.String(24), primary_key=True),
    sa.Column("micro", sa.BigInteger, nullable=False),
    sa.Column("per", sa.BigInteger, nullable=False),
    sa.CheckConstraint("micro >= 0 AND per > 0", name="positive"),
)

accounts = sa.Table(
    "ledger_accounts",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("balance_micro", sa.BigInteger, nullable=False),
)
"""Accounts. `balance_micro` is the sum of the account's entries, debit positive."""

transactions = sa.Table(
    "ledger_transactions",
    metadata,
    sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
    id_column(primary_key=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("reference", sa.String(255), nullable=False, unique=True),
    sa.Column("memo", sa.JSON, nullable=False),
    sa.Column("org_id", sa.String(40), nullable=True),
    sa.Column("actor", sa.String(80), nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("funds_micro", sa.BigInteger, nullable=False),
    sa.Column("funds_after_micro", sa.BigInteger, nullable=False),
    sa.Column("debit_micro", sa.BigInteger, nullable=False),
    sa.Column("credit_micro", sa.BigInteger, nullable=False),
    sa.CheckConstraint("debit_micro = credit_micro", name="balanced"),
    sa.UniqueConstraint("id"),
    sa.Index("ix_ledger_transactions_org", "org_id", "seq"),
)
"""Transactions. `funds_micro` is the change of the organisation's balance, `funds_after_micro` the balance after it."""

entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column(
        "tx_seq", _BIG, sa.ForeignKey("ledger_transactions.seq"), primary_key=True, autoincrement=False
    ),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.String(120), sa.ForeignKey("ledger_accounts.id"), nullable=False, index=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.CheckConstraint("amount_micro <> 0", name="not_zero"),
)

funds = sa.Table(
    "ledger_funds",
    metadata,
    id_column("org_id"),
    sa.Column("balance_micro", sa.BigInteger, nullable=False),
    sa.Column("held_micro", sa.BigInteger, nullable=False),
    sa.Column("credit_limit_micro", sa.BigInteger, nullable=False),
    sa.CheckConstraint("held_micro >= 0 AND credit_limit_micro >= 0", name="positive"),
)
"""Funds of organisations, one small row each, so that the check at submit reads one row."""

holds = sa.Table(
    "ledger_holds",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("reference", sa.String(80), nullable=False, unique=True),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.Column("used_micro", sa.BigInteger, nullable=False),
    sa.Column("placed_us", sa.BigInteger, nullable=False),
    sa.Column("settled_us", sa.BigInteger, nullable=True),
    sa.CheckConstraint("used_micro >= 0 AND amount_micro >= used_micro", name="within"),
    sa.Index(
        "ix_ledger_holds_open",
        "org_id",
        sqlite_where=sa.text("settled_us IS NULL"),
        postgresql_where=sa.text("settled_us IS NULL"),
    ),
)
"""Holds. `reference` is the attempt, whose charges use up the hold; the hold is open while `settled_us` is null."""

streams = sa.Table(
    "ledger_streams",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("source", sa.String(24), nullable=False),
    sa.Column("external_id", sa.String(80), nullable=False),
    sa.Column("resource", sa.String(120), nullable=False),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("reference", sa.String(80), nullable=False),
    sa.Column("unit", sa.String(24), nullable=False),
    sa.Column("price_version_id", sa.String(40), sa.ForeignKey("ledger_price_versions.id"), nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("end_us", sa.BigInteger, nullable=False),
    sa.Column("carry", sa.Text, nullable=False),
    sa.UniqueConstraint("external_id", "resource", "source"),
    sa.Index("ix_ledger_streams_reference", "org_id", "reference"),
)
"""Streams: fields shared by the spans of one (source, external id, resource). `carry` is the exact total price posted."""

spans = sa.Table(
    "ledger_spans",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("stream_id", _BIG, sa.ForeignKey("ledger_streams.id"), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("start_us", sa.BigInteger, nullable=False),
    sa.Column("end_us", sa.BigInteger, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("pflops", sa.Double, nullable=True),
    sa.Column("pflops_basis", sa.String(16), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("why_not", sa.String(200), nullable=False),
    sa.Column("charge_id", sa.String(40), nullable=True),
    sa.UniqueConstraint("stream_id", "sequence"),
    sa.CheckConstraint("end_us >= start_us AND amount >= 0", name="forward"),
    sa.Index(
        "ix_ledger_spans_due",
        "id",
        sqlite_where=sa.text("state = 'due'"),
        postgresql_where=sa.text("state = 'due'"),
    ),
)
IS_DUE = spans.c.state == sa.literal_column(f"'{DUE}'")
"""SQL condition of a due span. The state is a literal, because PostgreSQL's generic plans cannot match a bound parameter
with the condition of the partial index."""

charges = sa.Table(
    "ledger_charges",
    metadata,
    id_column(),
    sa.Column("seq", _BIG, nullable=False, unique=True),
    sa.Column("stream_id", _BIG, sa.ForeignKey("ledger_streams.id"), nullable=False, index=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("first_sequence", sa.BigInteger, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("rule_resource", sa.String(120), nullable=False),
    sa.Column("rule_kind", sa.String(24), nullable=False),
    sa.Column("quantity", sa.Text, nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.Column("tx_seq", _BIG, sa.ForeignKey("ledger_transactions.seq"), nullable=True, index=True),
    sa.Column("refunds_id", sa.String(40), nullable=True, unique=True),
    sa.Column("invoice_id", sa.String(40), nullable=True, index=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_ledger_charges_org", "org_id", "month"),
)
"""Charges: postings of a stream's spans inside one month under one rule. A refund is a charge with a negative amount.

`quantity` is the exact fraction in the rule's unit. `tx_seq` is null when the amount rounds to 0.
"""

top_ups = sa.Table(
    "ledger_top_ups",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.Column("memo", sa.String(500), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("requested_by", sa.String(80), nullable=False),
    sa.Column("requested_by_id", sa.String(40), nullable=False),
    sa.Column("requested_us", sa.BigInteger, nullable=False),
    sa.Column("decided_by", sa.String(80), nullable=True),
    sa.Column("decided_us", sa.BigInteger, nullable=True),
    sa.Column("tx_id", sa.String(40), nullable=True),
    sa.Index("ix_ledger_top_ups_org", "org_id", "id"),
)

spending = sa.Table(
    "ledger_spending",
    metadata,
    id_column("subject_id"),
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("spent_micro", sa.BigInteger, nullable=False),
)
"""Charges less refunds of an organisation or a project, by month."""

budgets = sa.Table(
    "ledger_budgets",
    metadata,
    id_column("subject_id"),
    sa.Column("org_id", sa.String(40), nullable=False, index=True),
    sa.Column("monthly_micro", sa.BigInteger, nullable=False),
    sa.Column("thresholds", sa.JSON, nullable=False),
    sa.Column("told_month", sa.String(7), nullable=False),
    sa.Column("told_percent", sa.Integer, nullable=False),
)
"""Budgets. `thresholds` are in percent; each causes one alert a month."""

invoices = sa.Table(
    "ledger_invoices",
    metadata,
    id_column(),
    sa.Column("number", sa.String(40), nullable=False, unique=True),
    sa.Column("serial", sa.Integer, nullable=False, unique=True),
    sa.Column("org_id", sa.String(40), nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("total_micro", sa.BigInteger, nullable=False),
    sa.Column("carried_out_micro", sa.BigInteger, nullable=False),
    sa.Column("issued_us", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "month"),
)
"""Issued invoices, never changed. `carried_out_micro` is the part below a fen that goes on the next invoice."""

balance_alerts = sa.Table(
    "ledger_balance_alerts",
    metadata,
    id_column("org_id"),
    sa.Column("below_micro", sa.BigInteger, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
)
"""Balance alerts. `told` is true from the alert until the available balance is above `below_micro` again."""
