"""Erasure of a tenant's rows and files; lists for each table whether its rows are erased, or why they are kept.

A test checks that all tables of the program are in one of the two lists.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import plural, text
from pearlstreet.compute.execution import tables as running
from pearlstreet.compute.jobs import tables as work
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.queueing import tables as queueing
from pearlstreet.compute.whatif.tables import what_ifs
from pearlstreet.hub import tables as hub
from pearlstreet.hub.repositories import OF_REPO
from pearlstreet.ledger import tables as books
from pearlstreet.offboarding.tables import closings
from pearlstreet.quotes import tables as offered
from pearlstreet.storage import tables as stored
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import idempotency, outbox, state_events
from pearlstreet.tenancy import tables as people
from pearlstreet.tenancy.keys import revoke_with_descendants
from pearlstreet.tenancy.model import SYSTEM, Standing
from pearlstreet.tenancy.notices import tables as notices

FRESH_S = 600.0
"""Age in seconds below which a blob is not erased yet: the row of another tenant's upload may not be written yet."""
SOME = 500

Condition = Callable[[str], sa.ColumnElement[bool]]


def _of_org(table: sa.Table, column: str = "org_id") -> Condition:
    return lambda org_id: table.c[column] == org_id


def _of_its_jobs(column: sa.ColumnElement[str]) -> Condition:
    def condition(org_id: str) -> sa.ColumnElement[bool]:
        conditions = [
            column.in_(sa.select(table.c.id).where(table.c.org_id == org_id))
            for table in (work.jobs, running.attempts, work.preparations)
        ]
        return sa.or_(*conditions)

    return condition


def _its_subjects(table: sa.Table) -> Condition:
    """Return the condition of rows whose `subject_id` is the organisation or one of its projects."""

    def condition(org_id: str) -> sa.ColumnElement[bool]:
        own = sa.select(people.projects.c.id).where(people.projects.c.org_id == org_id)
        return (table.c.subject_id == org_id) | table.c.subject_id.in_(own)

    return condition


def _its_deliveries(org_id: str) -> sa.ColumnElement[bool]:
    hooks = sa.select(notices.webhooks.c.id).where(notices.webhooks.c.owner_id == org_id)
    sent = notices.deliveries.c
    return (sent.org_id == org_id) | (sent.target_id == org_id) | sent.target_id.in_(hooks)


def _of_its_repos(table: sa.Table) -> Condition:
    return lambda org_id: table.c.repo_id.in_(sa.select(hub.repos.c.id).where(hub.repos.c.org_id == org_id))


def _of_its_uses(org_id: str) -> sa.ColumnElement[bool]:
    return (hub.uses.c.org_id == org_id) | _of_its_repos(hub.uses)(org_id)


def _of_its_approvals(org_id: str) -> sa.ColumnElement[bool]:
    return (hub.approvals.c.org_id == org_id) | _of_its_repos(hub.approvals)(org_id)


ERASED: tuple[tuple[sa.Table, Condition], ...] = (
    (state_events, _of_its_jobs(state_events.c.entity_id)),
    (work.waits, _of_its_jobs(work.waits.c.job_id)),
    (running.allocations, _of_its_jobs(running.allocations.c.attempt_id)),
    (work.artefacts, _of_org(work.artefacts)),
    (work.uploads, _of_org(work.uploads)),
    (work.preparations, _of_org(work.preparations)),
    (running.attempts, _of_org(running.attempts)),
    (running.checkpoints, _of_org(running.checkpoints)),
    (running.checkpoint_files, _of_org(running.checkpoint_files)),
    (work.idle_attempts, _of_org(work.idle_attempts)),
    (work.jobs, _of_org(work.jobs)),
    (queueing.waiting, _of_org(queueing.waiting)),
    (stored.quotas, _of_org(stored.quotas)),
    (queueing.shares, _of_org(queueing.shares)),
    (running.fair_use, _of_org(running.fair_use)),
    (stored.storage_levels, _of_org(stored.storage_levels)),
    (work.retention_rules, _of_org(work.retention_rules)),
    (queueing.warnings, _of_org(queueing.warnings)),
    (hub.uses, _of_its_uses),
    (hub.withheld, _of_org(hub.withheld)),
    (hub.approvals, _of_its_approvals),
    *((table, _of_its_repos(table)) for table in OF_REPO),
    (hub.repos, _of_org(hub.repos)),
    (what_ifs, _of_org(what_ifs)),
    (offered.quotes, _of_org(offered.quotes)),
    (offered.lessons, _of_org(offered.lessons)),
    (people.secrets, _of_org(people.secrets)),
    (people.invitations, _of_org(people.invitations)),
    (books.budgets, _its_subjects(books.budgets)),
    (books.ledger_buyers, _of_org(books.ledger_buyers)),
    (books.balance_alerts, _of_org(books.balance_alerts)),
    (outbox, _of_org(outbox)),
    (notices.deliveries, _its_deliveries),
    (notices.notices, _of_org(notices.notices)),
    (notices.webhooks, _of_org(notices.webhooks, "owner_id")),
    (notices.preferences, _of_org(notices.preferences, "owner_id")),
)
"""Tables whose rows are erased, with the condition of the rows. A table precedes the tables that its condition reads."""

_BOOKS = "the books are kept whole; they name the tenant by its id"
KEPT: Mapping[str, str] = {
    "orgs": "its id and slug, so that neither is given out again; the title and settings are emptied",
    "projects": "their ids stand in the books; their names are emptied",
    "users": "accounts created in it that belong to no other organisation are made nameless; their ids stand in the books and "
    "the audit log",
    "memberships": "deleted with what is done to users",
    "api_keys": "revoked, label emptied: what they did stands under their ids in the audit log",
    "sessions": "of accounts that are made nameless: deleted",
    "password_links": "of accounts that are made nameless: deleted",
    "identities": "of accounts that are made nameless: deleted",
    "terminal_codes": "begun sign-ins; they end within minutes",
    "oidc_flows": "begun sign-ins; they end within minutes",
    "sign_in_failures": "hold hashes only; they end within a day",
    "idempotency": "of accounts that are made nameless: deleted",
    "audit": "a chain of hashes: who did what is kept for as long as the law and the center's rules say",
    "audit_head": "of the center",
    "closings": "what this was",
    "loop_failures": "row ids and errors, for the operators; gone when the row goes on",
    "named_leases": "of the center",
    **dict.fromkeys(
        ("hub_contents", "hub_xorbs", "hub_segment_xorbs", "hub_dedup_chunks"),
        "digests only, shared by organisations; the collector deletes those that no repository names, and their bytes",
    ),
    "hub_previews": "first rows and tensors of contents; the collector deletes them together with the contents",
    "meta": "of the center",
    "outbox_cursors": "of the center",
    "nodes": "of the center",
    "node_health": "of the center",
    "burn_ins": "of the center",
    "policies": "of the center; they may name the tenant by its id",
    "windows": "of the center; they may name the tenant by its id",
    "benchmarks": "of the center",
    "notice_told": "references only; they end by themselves",
    "energy_facts": "of the center",
    "energy_series": "of the center",
    "energy_days": "of the center",
    "energy_measured": "joules beside the books' spans, under ids of attempts",
    **dict.fromkeys(
        (
            "ledger_site",
            "ledger_price_versions",
            "ledger_price_rules",
            "ledger_accounts",
            "ledger_transactions",
            "ledger_entries",
            "ledger_funds",
            "ledger_holds",
            "ledger_streams",
            "ledger_spans",
            "ledger_charges",
            "ledger_top_ups",
            "ledger_spending",
            "ledger_invoices",
        ),
        _BOOKS,
    ),
}
"""Tables whose rows are kept, with the reason or what is changed in them."""


def erase_files(store: Store, runtime: Runtime, org_id: str, *, fresh_s: float = FRESH_S) -> None:
    """Delete the files of the organisation's jobs, and its blobs that no other tenant uses. Idempotent.

    Raises Unavailable when it must be called again later; the rows still name the files that are left.
    """
    for row in _all(store, running.attempts, org_id):
        engine = runtime.engines.get(row["engine"])
        if engine is None:
            continue
        for answer in (engine.forget(row["id"]), engine.delete_checkpoint(row["owner_id"])):
            if not isinstance(answer, Done):
                raise Unavailable(text("The engine does not answer: {reason}", reason=answer.reason))
    for row in _all(store, work.preparations, org_id):
        for engine in runtime.engines.values():
            if row["attempt_id"] is not None:
                engine.forget(row["attempt_id"])
    for folder in (runtime.folders.prepared, runtime.folders.caches):
        shutil.rmtree(folder / org_id, ignore_errors=True)
    young = sum(
        _erase_blobs(store, runtime, table, org_id, fresh_s)
        for table in (work.artefacts, work.uploads, running.checkpoint_files)
    )
    if young:
        raise Unavailable(
            plural(
                "{count} file is too young to be erased yet",
                "{count} files are too young to be erased yet",
                count=young,
            )
        )


def _erase_blobs(store: Store, runtime: Runtime, table: sa.Table, org_id: str, fresh_s: float) -> int:
    """Delete the blobs that no other tenant uses; returns the number that are still too young."""
    blobs = runtime.blobs
    young = 0
    names = sorted({str(row["sha256"]) for row in _all(store, table, org_id) if row["sha256"]})
    for start in range(0, len(names), SOME):
        part = names[start : start + SOME]
        shared = store.read(partial(_named_by_others, names=part, org_id=org_id))
        for name in part:
            if name in shared:
                continue
            try:
                stored_s = blobs.stored_s(name)
            except NotFound:
                continue
            if stored_s > store.clock.now_us() / US_PER_S - fresh_s:
                young += 1
            else:
                blobs.delete(name)
    return young


def _named_by_others(tx: Tx, names: list[str], org_id: str) -> set[str]:
    shared: set[str] = set()
    for table in (work.uploads, work.artefacts, running.checkpoint_files):
        query = sa.select(table.c.sha256).where(table.c.sha256.in_(names), table.c.org_id != org_id)
        shared |= set(tx.execute(query).scalars())
    # Bytes of repositories are left to the hub's collector.
    shared |= set(
        tx.execute(sa.select(hub.contents.c.sha256).where(hub.contents.c.sha256.in_(names))).scalars()
    )
    return shared


def _all(store: Store, table: sa.Table, org_id: str) -> list[dict[str, Any]]:
    columns = [
        table.c[name] for name in ("id", "engine", "owner_id", "sha256", "attempt_id") if name in table.c
    ]
    query = sa.select(*columns).where(table.c.org_id == org_id)
    return [dict(row) for row in store.read(lambda tx: tx.rows(query))]


def erase_rows(tx: Tx, org_id: str) -> None:
    """Erase the organisation's rows and anonymise its accounts, in the caller's transaction."""
    for table, condition in ERASED:
        tx.execute(sa.delete(table).where(condition(org_id)))
    _erase_people(tx, org_id)
    empty = sa.update(people.projects).where(people.projects.c.org_id == org_id)
    tx.execute(empty.values(name="", slug=people.projects.c.id))
    tx.execute(sa.update(people.orgs).where(people.orgs.c.id == org_id).values(name="", settings={}))
    tx.execute(sa.update(closings).where(closings.c.id == org_id).values(reason=""))


def _erase_people(tx: Tx, org_id: str) -> None:
    """Revoke the organisation's keys, and anonymise accounts that were created in it and have no other organisation.

    Accounts that only joined the organisation lose this membership and stay.
    """
    members = people.memberships.c
    own_keys = sa.select(people.api_keys.c.id).where(people.api_keys.c.org_id == org_id)
    elsewhere = sa.select(members.user_id).where(members.org_id != org_id)
    gone = (
        sa.select(people.users)
        .join(people.memberships, members.user_id == people.users.c.id)
        .where(members.org_id == org_id, members.user_id.not_in(elsewhere))
        .where(people.users.c.operator_role.is_(None), people.users.c.origin_org_id == org_id)
    )
    leavers = tx.rows(gone)
    ids = [row["id"] for row in leavers]
    keys = list(tx.execute(own_keys).scalars())
    keys += tx.execute(sa.select(people.api_keys.c.id).where(people.api_keys.c.user_id.in_(ids))).scalars()
    revoke_with_descendants(tx, SYSTEM, sorted(set(keys)))
    tx.execute(sa.update(people.api_keys).where(people.api_keys.c.id.in_(keys)).values(label=""))
    tx.execute(sa.delete(people.memberships).where(members.org_id == org_id))
    chosen = people.users.c.default_org_id == org_id
    tx.execute(sa.update(people.users).where(chosen).values(default_org_id=None))
    for table in (people.sessions, people.password_links, people.identities, notices.notices):
        tx.execute(sa.delete(table).where(table.c.user_id.in_(ids)))
    for owner in ids:
        tx.execute(sa.delete(notices.deliveries).where(notices.deliveries.c.target_id == owner))
        tx.execute(sa.delete(notices.preferences).where(notices.preferences.c.owner_id == owner))
    for row in leavers:
        scope = idempotency.c.scope
        labelled = scope.startswith(row["name"] + " ", autoescape=True)
        tx.execute(sa.delete(idempotency).where((scope == row["name"]) | labelled))
        tx.execute(
            sa.update(people.users)
            .where(people.users.c.id == row["id"])
            .values(
                name=row["id"].replace("_", "-"),
                display_name="",
                email=None,
                password_hash=None,
                state=Standing.CLOSED.value,
            )
        )
