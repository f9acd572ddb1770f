"""The audit log: who did what, found by anything, taken away as JSON lines; whether log and books are whole."""

from __future__ import annotations

import json
from typing import Any

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.console.form_parsing import moment_in
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Download, View
from pearlstreet.ledger.proof import proof
from pearlstreet.ledger.site import read_site
from pearlstreet.tenancy import audit_log
from pearlstreet.tenancy.audit_log import AuditFilter, AuditRow
from pearlstreet.tenancy.directory import org_names

FIELDS = ("actor", "action", "target", "org", "from", "to")
EXPORTED_MAX = 200_000
"""Rows in one file; more are taken in parts, by time."""
AT_ONCE = 2_000


def show(ask: Ask) -> Answer:
    """Rows, newest first."""
    return _page(ask)


def verify(ask: Ask) -> Answer:
    """Walk the hash chain, and compute the books anew."""
    return _page(ask, log=audit_log.verify_audit(ask.store, ask.actor), books=proof(ask.store, ask.actor))


def export(ask: Ask) -> Answer:
    """What the filter finds, as JSON lines."""
    wanted, before = _wanted(ask), None
    lines: list[str] = []
    while len(lines) < EXPORTED_MAX:
        rows = audit_log.list_audit(ask.store, ask.actor, wanted, before_seq=before, limit=AT_ONCE)
        lines += [json.dumps(_plain(row), ensure_ascii=False) for row in rows]
        if len(rows) < AT_ONCE:
            break
        before = rows[-1].seq
    return Download("audit.jsonl", "".join(line + "\n" for line in lines).encode(), "application/x-ndjson")


def _page(ask: Ask, **reports: Any) -> View:
    rows: list[AuditRow] = []
    error = None
    before = ask.query.get("before", "")
    try:
        found = audit_log.list_audit(
            ask.store,
            ask.actor,
            _wanted(ask),
            before_seq=int(before) if before.isdecimal() and before.isascii() and len(before) < 18 else None,
            limit=PER_PAGE + 1,
        )
        rows = list(found)
    except InvalidInput as problem:  # of a filter that cannot be read: said above the empty list
        error = problem
    shown = rows[:PER_PAGE]
    values: dict[str, Any] = {
        "rows": shown,
        "before": shown[-1].seq if len(rows) > PER_PAGE else None,
        "names": org_names(ask.store, ask.actor, (row.org_id for row in shown if row.org_id)),
        "chosen": {name: ask.query.get(name, "") for name in FIELDS},
        "filters": {name: ask.query[name] for name in FIELDS if ask.query.get(name)},
        "zone": ask.store.read(read_site).time_zone,
        "may_verify": ask.actor.may("audit:verify"),
        "several": ask.actor.may("audit:read"),
        "exported_max": EXPORTED_MAX,
        "log": None,
        "books": None,
        **reports,
    }
    if error is not None:
        values |= {"error": error, "problems": {one.field: [one] for one in error.problems}}
    return View("audit.html", values, 422 if error is not None else 200)


def _wanted(ask: Ask) -> AuditFilter:
    zone = ask.store.read(read_site).time_zone

    def words(name: str) -> str | None:
        return ask.query.get(name, "").strip()[:80] or None

    return AuditFilter(
        org=words("org") or (None if ask.is_operator() else ask.org),
        actor=words("actor"),
        action=words("action"),
        target=words("target"),
        from_us=moment_in(ask, "from", zone),
        to_us=moment_in(ask, "to", zone),
    )


def _plain(row: AuditRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": to_rfc3339(row.at_us),
        "actor": row.actor,
        "org_id": row.org_id,
        "action": row.action,
        "target": row.target,
        "details": row.details,
        "hash": row.hash,
    }


PAGES = (
    Page("/audit", text("Audit log"), show, scope="audit:read", actions={"verify": verify}),
    Page("/audit/export", text("Audit log"), export, scope="audit:read"),
)
