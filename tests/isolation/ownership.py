"""Which rows of each table belong to a tenant, and which tables hold nothing of one.

A new table belongs into one of the two lists; `test_tables.py` fails until it stands there and the world fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.queueing.tables import windows
from pearlstreet.energy.tables import energy_measured
from pearlstreet.ledger import tables as books
from pearlstreet.offboarding.erasure import ERASED
from pearlstreet.offboarding.tables import closings
from pearlstreet.store.tables import audit, idempotency, loop_failures, metadata
from pearlstreet.tenancy import tables as people
from pearlstreet.tenancy.notices import tables as notices

Condition = Callable[[str], sa.ColumnElement[bool]]


def _by_org(column: sa.ColumnElement[Any]) -> Condition:
    return lambda org_id: column == org_id


def _members(org_id: str) -> sa.Select[Any]:
    return sa.select(people.memberships.c.user_id).where(people.memberships.c.org_id == org_id)


def _by_member(column: sa.ColumnElement[Any]) -> Condition:
    return lambda org_id: column.in_(_members(org_id))


def _either(*conditions: Condition) -> Condition:
    return lambda org_id: sa.or_(*(condition(org_id) for condition in conditions))


def _by_attempt(column: sa.ColumnElement[Any]) -> Condition:
    return lambda org_id: column.in_(sa.select(attempts.c.id).where(attempts.c.org_id == org_id))


def _by_parent(column: sa.ColumnElement[Any], parent: sa.ColumnElement[Any], org: Any) -> Condition:
    return lambda org_id: column.in_(sa.select(parent).where(org == org_id))


def _by_member_name(column: sa.ColumnElement[Any]) -> Condition:
    """Rows under the label of a member: the login name, alone or before the name of a key."""

    def condition(org_id: str) -> sa.ColumnElement[bool]:
        login = sa.select(people.users.c.name).where(people.users.c.id.in_(_members(org_id)))
        before_space = sa.func.substr(column, 1, sa.func.instr(column, " ") - 1)
        return column.in_(login) | before_space.in_(login)

    return condition


_BOOKS = (
    books.accounts, books.funds, books.holds, books.streams, books.charges, books.top_ups, books.transactions,
    books.invoices,
)  # fmt: skip

OWNED: Mapping[str, Condition] = {
    **{table.name: condition for table, condition in ERASED},
    **{table.name: _by_org(table.c.org_id) for table in _BOOKS},
    "orgs": _by_org(people.orgs.c.id),
    "projects": _by_org(people.projects.c.org_id),
    "memberships": _by_org(people.memberships.c.org_id),
    "users": _by_member(people.users.c.id),
    "api_keys": _either(_by_org(people.api_keys.c.org_id), _by_member(people.api_keys.c.user_id)),
    "sessions": _by_member(people.sessions.c.user_id),
    "password_links": _by_member(people.password_links.c.user_id),
    "identities": _by_member(people.identities.c.user_id),
    "terminal_codes": _by_member(people.terminal_codes.c.user_id),
    "idempotency": _by_member_name(idempotency.c.scope),
    "audit": _by_org(audit.c.org_id),
    "closings": _by_org(closings.c.id),
    "loop_failures": _by_attempt(loop_failures.c.row_id),
    "windows": _by_org(windows.c.org_id),
    "notices": _either(_by_org(notices.notices.c.org_id), _by_member(notices.notices.c.user_id)),
    "notice_preferences": _either(
        _by_org(notices.preferences.c.owner_id), _by_member(notices.preferences.c.owner_id)
    ),
    "energy_measured": _by_attempt(energy_measured.c.attempt_id),
    "ledger_entries": _by_parent(
        books.entries.c.tx_seq, books.transactions.c.seq, books.transactions.c.org_id
    ),
    "ledger_spans": _by_parent(books.spans.c.stream_id, books.streams.c.id, books.streams.c.org_id),
    "ledger_spending": _either(
        _by_org(books.spending.c.subject_id),
        _by_parent(books.spending.c.subject_id, people.projects.c.id, people.projects.c.org_id),
    ),
}
"""By table: the condition that its rows belong to an organisation."""

SHARED: Mapping[str, str] = {
    "audit_head": "one row: the newest hash of the audit log",
    "benchmarks": "measurements of the centre's nodes",
    "energy_days": "hours of the centre's energy series",
    "energy_facts": "energy facts of the site",
    "energy_series": "energy series of the site",
    "hub_contents": "digests of bytes that organisations share; access is by repository",
    "hub_dedup_chunks": "digests of chunks",
    "hub_previews": "what contents hold; shown only to those who may download a file with this content",
    "hub_segment_xorbs": "digests of files and of the xorbs that hold them",
    "hub_xorbs": "digests of files of chunks",
    "ledger_price_rules": "the centre's price lists",
    "ledger_price_versions": "the centre's price lists",
    "ledger_site": "the centre as a seller",
    "meta": "the centre's own settings",
    "named_leases": "leases of servers",
    "burn_ins": "measurements of the centre's nodes",
    "node_health": "health of the centre's machines",
    "nodes": "the centre's machines",
    "notice_told": "references against telling a thing twice; nothing reads them but the loops",
    "oidc_flows": "sign-ins that have begun; nobody is known yet",
    "outbox_cursors": "positions of the loops",
    "policies": "versions of the scheduling policy",
    "sign_in_failures": "hashes of login names and addresses",
}
"""Tables with no row of a tenant, and what they hold."""

TENANT_COLUMNS = frozenset({"org_id", "project_id", "user_id"})


def rows_of(connection: sa.Connection, org_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of an organisation, by table, in the order of the primary key."""
    found = {}
    for name, condition in OWNED.items():
        table = metadata.tables[name]
        query = sa.select(table).where(condition(org_id)).order_by(*table.primary_key.columns)
        found[name] = [dict(row) for row in connection.execute(query).mappings()]
    return found
