"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "allocations",
        sa.Column("attempt_id", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node", sa.String(length=120), nullable=False),
        sa.Column("device", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_share", sa.BigInteger(), nullable=False),
        sa.Column("compute_share", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.String(length=160), nullable=True),
        sa.PrimaryKeyConstraint("attempt_id", "rank", "node", "device", name=op.f("pk_allocations")),
        sa.UniqueConstraint("whole", name=op.f("uq_allocations_whole")),
    )
    op.create_table(
        "artefacts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artefacts")),
        sa.UniqueConstraint("attempt_id", "path", name=op.f("uq_artefacts_attempt_id_path")),
    )
    op.create_index(op.f("ix_artefacts_job_id"), "artefacts", ["job_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("placement", sa.JSON(), nullable=False),
        sa.Column("why_here", sa.JSON(), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("hold_id", sa.String(length=40), nullable=True),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.Column("hourly_micro", sa.BigInteger(), nullable=False),
        sa.Column("stop_reason", sa.String(length=16), nullable=True),
        sa.Column("stop_asked_us", sa.BigInteger(), nullable=True),
        sa.Column("placed_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("metered_until_us", sa.BigInteger(), nullable=True),
        sa.Column("span_sequence", sa.Integer(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=24), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("message", sa.JSON(), nullable=True),
        sa.Column("wall", sa.String(length=80), nullable=True),
        sa.Column("time_limit_s", sa.Float(), nullable=False),
        sa.Column("covered_s", sa.Float(), nullable=False),
        sa.Column("warned_us", sa.BigInteger(), nullable=True),
        sa.Column("grace_s", sa.Float(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_due", "attempts", ["state", "due_us"], unique=False)
    op.create_index(op.f("ix_attempts_job_id"), "attempts", ["job_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=80), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_action"), "audit", ["action"], unique=False)
    op.create_index(op.f("ix_audit_actor"), "audit", ["actor"], unique=False)
    op.create_index(op.f("ix_audit_org_id"), "audit", ["org_id"], unique=False)
    op.create_index(op.f("ix_audit_target"), "audit", ["target"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "benchmarks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=120), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmarks")),
    )
    op.create_index(op.f("ix_benchmarks_node"), "benchmarks", ["node"], unique=False)
    op.create_table(
        "fair_use",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("pflops_h", sa.Float(), nullable=False),
        sa.Column("cpu_h", sa.Float(), nullable=False),
        sa.Column("memory_gib_h", sa.Float(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "project_id", name=op.f("pk_fair_use")),
    )
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_at_us"), "idempotency", ["at_us"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=True),
        sa.Column("ask", sa.JSON(), nullable=True),
        sa.Column("preparations", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.JSON(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("submitted_us", sa.BigInteger(), nullable=False),
        sa.Column("not_before_us", sa.BigInteger(), nullable=False),
        sa.Column("blocked", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.Column("hourly_micro", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("array_id", sa.String(length=40), nullable=True),
        sa.Column("array_index", sa.Integer(), nullable=True),
        sa.Column("array_size", sa.Integer(), nullable=True),
        sa.Column("array_max_running", sa.Integer(), nullable=True),
        sa.Column("n_queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_active", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_array", "jobs", ["array_id", "array_index"], unique=False)
    op.create_index("ix_jobs_org", "jobs", ["org_id", "id"], unique=False)
    op.create_index("ix_jobs_queue", "jobs", ["state", "blocked", "priority", "submitted_us"], unique=False)
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("balance_micro", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
    )
    op.create_table(
        "ledger_budgets",
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("monthly_micro", sa.BigInteger(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("told_month", sa.String(length=7), nullable=False),
        sa.Column("told_percent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_ledger_budgets")),
    )
    op.create_index(op.f("ix_ledger_budgets_org_id"), "ledger_budgets", ["org_id"], unique=False)
    op.create_table(
        "ledger_buyers",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_ledger_buyers")),
    )
    op.create_table(
        "ledger_funds",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("balance_micro", sa.BigInteger(), nullable=False),
        sa.Column("held_micro", sa.BigInteger(), nullable=False),
        sa.Column("credit_limit_micro", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "held_micro >= 0 AND credit_limit_micro >= 0", name=op.f("ck_ledger_funds_positive")
        ),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_ledger_funds")),
    )
    op.create_table(
        "ledger_holds",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=80), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("used_micro", sa.BigInteger(), nullable=False),
        sa.Column("placed_us", sa.BigInteger(), nullable=False),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "used_micro >= 0 AND amount_micro >= used_micro", name=op.f("ck_ledger_holds_within")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_holds")),
        sa.UniqueConstraint("reference", name=op.f("uq_ledger_holds_reference")),
    )
    op.create_index(
        "ix_ledger_holds_open",
        "ledger_holds",
        ["org_id"],
        unique=False,
        sqlite_where=sa.text("settled_us IS NULL"),
        postgresql_where=sa.text("settled_us IS NULL"),
    )
    op.create_table(
        "ledger_invoices",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("total_micro", sa.BigInteger(), nullable=False),
        sa.Column("carried_out_micro", sa.BigInteger(), nullable=False),
        sa.Column("issued_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_invoices")),
        sa.UniqueConstraint("number", name=op.f("uq_ledger_invoices_number")),
        sa.UniqueConstraint("org_id", "month", name=op.f("uq_ledger_invoices_org_id_month")),
        sa.UniqueConstraint("serial", name=op.f("uq_ledger_invoices_serial")),
    )
    op.create_table(
        "ledger_price_versions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("published_by", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_price_versions")),
        sa.UniqueConstraint("number", name=op.f("uq_ledger_price_versions_number")),
    )
    op.create_index(
        op.f("ix_ledger_price_versions_valid_from_us"),
        "ledger_price_versions",
        ["valid_from_us"],
        unique=False,
    )
    op.create_table(
        "ledger_site",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_site")),
    )
    op.create_table(
        "ledger_spending",
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("spent_micro", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "month", name=op.f("pk_ledger_spending")),
    )
    op.create_table(
        "ledger_top_ups",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.String(length=500), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_by", sa.String(length=80), nullable=False),
        sa.Column("requested_by_id", sa.String(length=40), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.Column("decided_us", sa.BigInteger(), nullable=True),
        sa.Column("tx_id", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_top_ups")),
    )
    op.create_index("ix_ledger_top_ups_org", "ledger_top_ups", ["org_id", "id"], unique=False)
    op.create_table(
        "ledger_transactions",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=False),
        sa.Column("memo", sa.JSON(), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("funds_micro", sa.BigInteger(), nullable=False),
        sa.Column("funds_after_micro", sa.BigInteger(), nullable=False),
        sa.Column("debit_micro", sa.BigInteger(), nullable=False),
        sa.Column("credit_micro", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debit_micro = credit_micro", name=op.f("ck_ledger_transactions_balanced")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_transactions")),
        sa.UniqueConstraint("id", name=op.f("uq_ledger_transactions_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_ledger_transactions_reference")),
    )
    op.create_index("ix_ledger_transactions_org", "ledger_transactions", ["org_id", "seq"], unique=False)
    op.create_table(
        "loop_failures",
        sa.Column("loop", sa.String(length=64), nullable=False),
        sa.Column("row_id", sa.String(length=40), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Boolean(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("loop", "row_id", name=op.f("pk_loop_failures")),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "named_leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_leases")),
    )
    op.create_table(
        "nodes",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("engine", sa.String(length=32), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("drained", sa.Boolean(), nullable=False),
        sa.Column("drain_reason", sa.String(length=500), nullable=True),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "oidc_flows",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("binding_hash", sa.String(length=64), nullable=False),
        sa.Column("redirect_uri", sa.String(length=500), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_oidc_flows")),
    )
    op.create_index(op.f("ix_oidc_flows_created_us"), "oidc_flows", ["created_us"], unique=False)
    op.create_table(
        "orgs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orgs")),
        sa.UniqueConstraint("slug", name=op.f("uq_orgs_slug")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox_cursors",
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_outbox_cursors")),
    )
    op.create_table(
        "preparations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("message", sa.JSON(), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preparations")),
        sa.UniqueConstraint("org_id", "kind", "digest", name=op.f("uq_preparations_org_id_kind_digest")),
    )
    op.create_table(
        "quotas",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("resource", sa.String(length=80), nullable=False),
        sa.Column("guaranteed", sa.Float(), nullable=True),
        sa.Column("maximum", sa.Float(), nullable=True),
        sa.Column("borrow", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotas")),
        sa.UniqueConstraint(
            "org_id", "project_id", "resource", name=op.f("uq_quotas_org_id_project_id_resource")
        ),
    )
    op.create_table(
        "shares",
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "project_id", name=op.f("pk_shares")),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("locked_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_failures")),
    )
    op.create_index(op.f("ix_sign_in_failures_last_us"), "sign_in_failures", ["last_us"], unique=False)
    op.create_table(
        "state_events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("entity_id", sa.String(length=40), nullable=False),
        sa.Column("from_state", sa.String(length=24), nullable=True),
        sa.Column("to_state", sa.String(length=24), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_state_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_state_events_entity_id"), "state_events", ["entity_id"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_org_id"), "uploads", ["org_id"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("operator_role", sa.String(length=16), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "waits",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("on_id", sa.String(length=40), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "on_id", name=op.f("pk_waits")),
    )
    op.create_index("ix_waits_on", "waits", ["on_id"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=True),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("last_used_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_api_keys_org_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index(op.f("ix_api_keys_org_id"), "api_keys", ["org_id"], unique=False)
    op.create_index(op.f("ix_api_keys_parent_id"), "api_keys", ["parent_id"], unique=False)
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False)
    op.create_table(
        "identities",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_identities_user_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_identities")),
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"], unique=False)
    op.create_table(
        "ledger_entries",
        sa.Column(
            "tx_seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.String(length=120), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_micro <> 0", name=op.f("ck_ledger_entries_not_zero")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_entries_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["tx_seq"], ["ledger_transactions.seq"], name=op.f("fk_ledger_entries_tx_seq")
        ),
        sa.PrimaryKeyConstraint("tx_seq", "line", name=op.f("pk_ledger_entries")),
    )
    op.create_index(op.f("ix_ledger_entries_account_id"), "ledger_entries", ["account_id"], unique=False)
    op.create_table(
        "ledger_price_rules",
        sa.Column("version_id", sa.String(length=40), nullable=False),
        sa.Column("resource", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("micro", sa.BigInteger(), nullable=False),
        sa.Column("per", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("micro >= 0 AND per > 0", name=op.f("ck_ledger_price_rules_positive")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["ledger_price_versions.id"], name=op.f("fk_ledger_price_rules_version_id")
        ),
        sa.PrimaryKeyConstraint("version_id", "resource", "kind", name=op.f("pk_ledger_price_rules")),
    )
    op.create_table(
        "ledger_streams",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("source", sa.String(length=24), nullable=False),
        sa.Column("external_id", sa.String(length=80), nullable=False),
        sa.Column("resource", sa.String(length=120), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=80), nullable=False),
        sa.Column("unit", sa.String(length=24), nullable=False),
        sa.Column("price_version_id", sa.String(length=40), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("carry", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["price_version_id"],
            ["ledger_price_versions.id"],
            name=op.f("fk_ledger_streams_price_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_streams")),
        sa.UniqueConstraint(
            "external_id", "resource", "source", name=op.f("uq_ledger_streams_external_id_resource_source")
        ),
    )
    op.create_index("ix_ledger_streams_reference", "ledger_streams", ["org_id", "reference"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_memberships_org_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id")),
        sa.PrimaryKeyConstraint("user_id", "org_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_org_id"), "memberships", ["org_id"], unique=False)
    op.create_table(
        "password_links",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_links_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_links")),
    )
    op.create_index(op.f("ix_password_links_user_id"), "password_links", ["user_id"], unique=False)
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_projects_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("org_id", "slug", name=op.f("uq_projects_org_id_slug")),
    )
    op.create_table(
        "secrets",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_secrets_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secrets")),
        sa.UniqueConstraint("org_id", "project_id", "name", name=op.f("uq_secrets_org_id_project_id_name")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_expires_us"), "sessions", ["expires_us"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "ledger_charges",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stream_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("org_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("rule_resource", sa.String(length=120), nullable=False),
        sa.Column("rule_kind", sa.String(length=24), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("tx_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("refunds_id", sa.String(length=40), nullable=True),
        sa.Column("invoice_id", sa.String(length=40), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["ledger_streams.id"], name=op.f("fk_ledger_charges_stream_id")
        ),
        sa.ForeignKeyConstraint(
            ["tx_seq"], ["ledger_transactions.seq"], name=op.f("fk_ledger_charges_tx_seq")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_charges")),
        sa.UniqueConstraint("refunds_id", name=op.f("uq_ledger_charges_refunds_id")),
        sa.UniqueConstraint("seq", name=op.f("uq_ledger_charges_seq")),
    )
    op.create_index(op.f("ix_ledger_charges_invoice_id"), "ledger_charges", ["invoice_id"], unique=False)
    op.create_index("ix_ledger_charges_org", "ledger_charges", ["org_id", "month"], unique=False)
    op.create_index(op.f("ix_ledger_charges_stream_id"), "ledger_charges", ["stream_id"], unique=False)
    op.create_index(op.f("ix_ledger_charges_tx_seq"), "ledger_charges", ["tx_seq"], unique=False)
    op.create_table(
        "ledger_spans",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("stream_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("pflops", sa.Double(), nullable=True),
        sa.Column("pflops_basis", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("why_not", sa.String(length=200), nullable=False),
        sa.Column("charge_id", sa.String(length=40), nullable=True),
        sa.CheckConstraint("end_us >= start_us AND amount >= 0", name=op.f("ck_ledger_spans_forward")),
        sa.ForeignKeyConstraint(["stream_id"], ["ledger_streams.id"], name=op.f("fk_ledger_spans_stream_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_spans")),
        sa.UniqueConstraint("stream_id", "sequence", name=op.f("uq_ledger_spans_stream_id_sequence")),
    )
    op.create_index(
        "ix_ledger_spans_due",
        "ledger_spans",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'due'"),
        postgresql_where=sa.text("state = 'due'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_ledger_spans_due",
        table_name="ledger_spans",
        sqlite_where=sa.text("state = 'due'"),
        postgresql_where=sa.text("state = 'due'"),
    )
    op.drop_table("ledger_spans")
    op.drop_index(op.f("ix_ledger_charges_tx_seq"), table_name="ledger_charges")
    op.drop_index(op.f("ix_ledger_charges_stream_id"), table_name="ledger_charges")
    op.drop_index("ix_ledger_charges_org", table_name="ledger_charges")
    op.drop_index(op.f("ix_ledger_charges_invoice_id"), table_name="ledger_charges")
    op.drop_table("ledger_charges")
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_expires_us"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("secrets")
    op.drop_table("projects")
    op.drop_index(op.f("ix_password_links_user_id"), table_name="password_links")
    op.drop_table("password_links")
    op.drop_index(op.f("ix_memberships_org_id"), table_name="memberships")
    op.drop_table("memberships")
    op.drop_index("ix_ledger_streams_reference", table_name="ledger_streams")
    op.drop_table("ledger_streams")
    op.drop_table("ledger_price_rules")
    op.drop_index(op.f("ix_ledger_entries_account_id"), table_name="ledger_entries")
    op.drop_table("ledger_entries")
    op.drop_index(op.f("ix_identities_user_id"), table_name="identities")
    op.drop_table("identities")
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_parent_id"), table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_org_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index("ix_waits_on", table_name="waits")
    op.drop_table("waits")
    op.drop_table("users")
    op.drop_index(op.f("ix_uploads_org_id"), table_name="uploads")
    op.drop_table("uploads")
    op.drop_index(op.f("ix_state_events_entity_id"), table_name="state_events")
    op.drop_table("state_events")
    op.drop_index(op.f("ix_sign_in_failures_last_us"), table_name="sign_in_failures")
    op.drop_table("sign_in_failures")
    op.drop_table("shares")
    op.drop_table("quotas")
    op.drop_table("preparations")
    op.drop_table("outbox_cursors")
    op.drop_table("outbox")
    op.drop_table("orgs")
    op.drop_index(op.f("ix_oidc_flows_created_us"), table_name="oidc_flows")
    op.drop_table("oidc_flows")
    op.drop_table("nodes")
    op.drop_table("named_leases")
    op.drop_table("meta")
    op.drop_table("loop_failures")
    op.drop_index("ix_ledger_transactions_org", table_name="ledger_transactions")
    op.drop_table("ledger_transactions")
    op.drop_index("ix_ledger_top_ups_org", table_name="ledger_top_ups")
    op.drop_table("ledger_top_ups")
    op.drop_table("ledger_spending")
    op.drop_table("ledger_site")
    op.drop_index(op.f("ix_ledger_price_versions_valid_from_us"), table_name="ledger_price_versions")
    op.drop_table("ledger_price_versions")
    op.drop_table("ledger_invoices")
    op.drop_index(
        "ix_ledger_holds_open",
        table_name="ledger_holds",
        sqlite_where=sa.text("settled_us IS NULL"),
        postgresql_where=sa.text("settled_us IS NULL"),
    )
    op.drop_table("ledger_holds")
    op.drop_table("ledger_funds")
    op.drop_table("ledger_buyers")
    op.drop_index(op.f("ix_ledger_budgets_org_id"), table_name="ledger_budgets")
    op.drop_table("ledger_budgets")
    op.drop_table("ledger_accounts")
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.drop_index("ix_jobs_org", table_name="jobs")
    op.drop_index("ix_jobs_array", table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_idempotency_at_us"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("fair_use")
    op.drop_index(op.f("ix_benchmarks_node"), table_name="benchmarks")
    op.drop_table("benchmarks")
    op.drop_table("audit_head")
    op.drop_index(op.f("ix_audit_target"), table_name="audit")
    op.drop_index(op.f("ix_audit_org_id"), table_name="audit")
    op.drop_index(op.f("ix_audit_actor"), table_name="audit")
    op.drop_index(op.f("ix_audit_action"), table_name="audit")
    op.drop_table("audit")
    op.drop_index(op.f("ix_attempts_job_id"), table_name="attempts")
    op.drop_index("ix_attempts_due", table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_artefacts_job_id"), table_name="artefacts")
    op.drop_table("artefacts")
    op.drop_table("allocations")
