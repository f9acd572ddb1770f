"""Pages of the audit log: search, export as JSON lines, and verification of the log and the ledger."""

from __future__ import annotations

import json

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.console.form_parsing import moment_in
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, Download, PageRequest, PageResponse, View
from pearlstreet.ledger.proof import proof
from pearlstreet.ledger.site import read_site
from pearlstreet.tenancy import audit_log
from pearlstreet.tenancy.audit_log import AuditFilter, AuditRow
from pearlstreet.tenancy.directory import org_names

FIELDS = ("actor", "action", "target", "org", "from", "to")
EXPORTED_MAX = 200_000
"""Maximum number of rows in one file; more must be exported by parts of the period."""
AT_ONCE = 2_000


def show(request: PageRequest) -> PageResponse:
    """Show entries, newest first."""
    return _page(request)


def verify(request: PageRequest) -> PageResponse:
    """Verify the hash chain of the log and recompute the ledger."""
    return _page(
        request,
        log=audit_log.verify_audit(request.store, request.actor),
        books=proof(request.store, request.actor),
    )


def export(request: PageRequest) -> PageResponse:
    """Download the filtered entries as JSON lines."""
    wanted, before = _wanted(request), None
    lines: list[str] = []
    while len(lines) < EXPORTED_MAX:
        rows = audit_log.list_audit(request.store, request.actor, wanted, before_seq=before, limit=AT_ONCE)
        lines += [json.dumps(_plain(row), ensure_ascii=False) for row in rows]
        if len(rows) < AT_ONCE:
            break
        before = rows[-1].seq
    return Download("audit.jsonl", "".join(line + "\n" for line in lines).encode(), "application/x-ndjson")


def _page(request: PageRequest, **reports: object) -> View:
    rows: list[AuditRow] = []
    error = None
    before = request.query.get("before", "")
    try:
        found = audit_log.list_audit(
            request.store,
            request.actor,
            _wanted(request),
            before_seq=int(before) if before.isdecimal() and before.isascii() and len(before) < 18 else None,
            limit=PER_PAGE + 1,
        )
        rows = list(found)
    except InvalidInput as problem:  # an invalid filter is reported above an empty list
        error = problem
    shown = rows[:PER_PAGE]
    values: dict[str, object] = {
        "rows": shown,
        "before": shown[-1].seq if len(rows) > PER_PAGE else None,
        "names": org_names(request.store, request.actor, (row.org_id for row in shown if row.org_id)),
        "chosen": {name: request.query.get(name, "") for name in FIELDS},
        "filters": {name: request.query[name] for name in FIELDS if request.query.get(name)},
        "zone": request.store.read(read_site).time_zone,
        "may_verify": request.actor.may("audit:verify"),
        "several": request.actor.may("audit:read"),
        "exported_max": EXPORTED_MAX,
        "log": None,
        "books": None,
        **reports,
    }
    if error is not None:
        values |= {"error": error, "problems": {one.field: [one] for one in error.problems}}
    return View("audit.html", values, 422 if error is not None else 200)


def _wanted(request: PageRequest) -> AuditFilter:
    zone = request.store.read(read_site).time_zone

    def words(name: str) -> str | None:
        return request.query.get(name, "").strip()[:80] or None

    return AuditFilter(
        org=words("org") or (None if request.is_operator() else request.org),
        actor=words("actor"),
        action=words("action"),
        target=words("target"),
        from_us=moment_in(request, "from", zone),
        to_us=moment_in(request, "to", zone),
    )


def _plain(row: AuditRow) -> dict[str, object]:
    return {
        "seq": row.seq,
        "at": to_rfc3339(row.at_us),
        "actor": row.actor,
        "org_id": row.org_id,
        "action": row.action,
        "target": row.target,
        "target_name": row.target_name,
        "details": row.details,
        "hash": row.hash,
    }


PAGES = (
    ConsolePage(
        "/audit",
        text("Audit log"),
        show,
        scope="audit:read",
        actions={"verify": verify},
        menu=MenuPlace(MenuGroup.CENTER, 14, "audit", "l"),
    ),
    ConsolePage("/audit/export", text("Audit log"), export, scope="audit:read"),
)
