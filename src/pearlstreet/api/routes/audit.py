"""Routes of the audit log, of the ledger's verification and of its export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import PlainTextResponse

from pearlstreet.api.models import Out, Time, read_time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_number
from pearlstreet.api.routes.credit import From, To
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, in_thread, query
from pearlstreet.ledger.beancount import export_journal
from pearlstreet.ledger.proof import ProofReport, proof
from pearlstreet.store.audit import AuditReport
from pearlstreet.tenancy import audit_log
from pearlstreet.tenancy.audit_log import AuditFilter, AuditRow
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/audit", "audit")
ledger_router = SecuredRouter("/ledger", "audit")


class AuditOut(Out):
    """One audit entry: an action of an actor on a target."""

    seq: int
    at: Time
    actor: str
    org_id: str | None
    action: str
    target: str
    target_name: str
    details: dict[str, object]
    hash: str


def _row(row: AuditRow) -> dict[str, object]:
    return {
        "seq": row.seq,
        "at": time_of(row.at_us),
        "actor": row.actor,
        "org_id": row.org_id,
        "action": row.action,
        "target": row.target,
        "target_name": row.target_name,
        "details": row.details,
        "hash": row.hash,
    }


@router.get("", scope="audit:read", responses={200: {"model": Page[AuditOut]}})
async def list_audit_log(
    request: Request,
    caller: Actor = CurrentActor,
    org: Annotated[str | None, Query(max_length=80, description="Only entries of this organisation")] = None,
    actor: Annotated[
        str | None, Query(max_length=80, description="Login name or complete label of the actor")
    ] = None,
    action: Annotated[
        str | None, Query(max_length=64, description="Action such as `user.create`, or `user.*`")
    ] = None,
    target: Annotated[str | None, Query(max_length=80, description="Id of the changed row")] = None,
    since: From = None,
    until: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List audit entries, newest first: auditors see all, owners those of their organisation."""
    store, before = center_of(request).store, read_number(cursor)
    wanted = AuditFilter(org, actor, action, target, read_time(since, "from"), read_time(until, "to"))
    return await query(
        lambda: audit_log.list_audit(store, caller, wanted, before_seq=before, limit=limit + 1),
        lambda found: page(found, limit, lambda row: str(row.seq), _row),
    )


class VerifyOut(Out):
    """Result of verifying the log. Keep `head`: it must still be in the log at the next verification."""

    is_right: bool
    rows: int
    head: str
    broken_at: int | None
    problem: str | None


def _verified(report: AuditReport) -> dict[str, object]:
    return {"is_right": report.problem is None, **asdict(report)}


@router.get("/verify", scope="audit:verify", responses={200: {"model": VerifyOut}})
async def verify_audit_log(request: Request, caller: Actor = CurrentActor) -> Response:
    """Verify the hash chain of the whole log."""
    store = center_of(request).store
    return await query(lambda: audit_log.verify_audit(store, caller), _verified)


class ProofOut(Out):
    """Result of verifying the ledger: the number of checked rows, and the first inconsistent one."""

    is_right: bool
    checked: dict[str, int]
    problem: str | None
    row: str | None


def _proven(report: ProofReport) -> dict[str, object]:
    return {
        "is_right": report.is_right,
        "checked": dict(report.checked),
        "problem": report.problem,
        "row": report.row,
    }


@ledger_router.get("/proof", scope="audit:verify", responses={200: {"model": ProofOut}})
async def prove_ledger(request: Request, caller: Actor = CurrentActor) -> Response:
    """Verify the ledger: recompute every balance from postings and every charge from usage and prices."""
    store = center_of(request).store
    return await query(lambda: proof(store, caller), _proven)


@ledger_router.get(
    "/beancount",
    scope="audit:verify",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}}},
)
async def export_beancount(request: Request, caller: Actor = CurrentActor) -> Response:
    """Export the ledger as a Beancount journal."""
    store = center_of(request).store
    written = await in_thread(lambda: export_journal(store, caller).encode())
    return Response(written, media_type="text/plain; charset=utf-8")
