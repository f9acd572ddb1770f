"""Routes of an organisation's money: balance, credit limit, statement, top-ups, corrections and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.energy_use import EnergyUseOut, energy_out
from pearlstreet.api.models import In, Out, Time, Yuan, read_time, read_yuan, time_of, words, yuan_of
from pearlstreet.api.owners import with_owner, with_owners
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor, read_number
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.energy.books import statement_energy
from pearlstreet.ledger import budgets, funds, topups
from pearlstreet.ledger.invoices.energy import EnergyUse
from pearlstreet.ledger.invoices.model import decimal_text, resource_label
from pearlstreet.ledger.model import Balance, TxKind
from pearlstreet.ledger.statement import Line, statement
from pearlstreet.ledger.topups import TopUp, TopUpState
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor, login_of
from pearlstreet.tenancy.orgs import find_org, find_project

router = SecuredRouter("/orgs/{org}", "credit")
center_router = SecuredRouter("/credit", "credit")


def org_id_of(store: Store, actor: Actor, org: str, scope: str) -> str:
    """Return the id of an organisation in which the actor has `scope`. Raises NotFound, Forbidden."""
    return store.read(lambda tx: find_org(tx, actor, org, scope)).id


class BalanceOut(Out):
    """Balance of an organisation, and the amount it can still spend."""

    org_id: str
    balance: Yuan
    held: Yuan
    credit_limit: Yuan
    available: Yuan


def _balance(found: Balance) -> dict[str, object]:
    return {
        "org_id": found.org_id,
        "balance": yuan_of(found.balance),
        "held": yuan_of(found.held),
        "credit_limit": yuan_of(found.credit_limit),
        "available": yuan_of(found.available),
    }


@router.get("/balance", scope="credit:read", responses={200: {"model": BalanceOut}})
async def get_balance(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Get the balance, the amount held for running jobs, the credit limit and the available amount."""
    store = center_of(request).store
    return await query(
        lambda: funds.balance(store, actor, org_id_of(store, actor, org, "credit:read")), _balance
    )


class LimitIn(In):
    """Credit limit of an organisation."""

    credit_limit: Yuan = Field(max_length=40)


@router.put("/credit-limit", scope="credit:write", responses={200: {"model": BalanceOut}})
async def set_credit_limit(
    request: Request, org: str, body: LimitIn, actor: Actor = CurrentActor
) -> Response:
    """Set how far the balance may fall below zero: 0 means prepaid, more means postpaid."""
    limit = read_yuan(body.credit_limit, "credit_limit")
    return await command(
        request,
        actor,
        lambda s: funds.set_credit_limit(s, actor, org_id_of(s, actor, org, "credit:write"), limit),
        _balance,
    )


class UseOut(Out):
    """The usage behind a charge."""

    source: str
    attempt_id: str
    job_id: str
    project_id: str
    resource: str
    resource_label: str
    first_sequence: int
    last_sequence: int
    month: str
    quantity: str
    quantity_exact: str
    unit: str
    price_version_id: str


class StatementLineOut(Out):
    """One transaction with the balance after it."""

    id: str
    seq: int
    at: Time
    kind: TxKind
    memo: str
    amount: Yuan
    balance: Yuan
    actor: str
    use: UseOut | None
    energy: EnergyUseOut | None = Field(
        description="Energy use of charges for accelerators and CPU-only jobs"
    )


def _line(line: Line, language: str, energy: EnergyUse | None) -> dict[str, object]:
    use = None
    if line.detail is not None:
        found = line.detail
        use = {
            "source": found.source,
            "attempt_id": found.external_id,
            "job_id": found.reference,
            "project_id": found.project_id,
            "resource": found.resource,
            "resource_label": resource_label(found.resource).render(language),
            "first_sequence": found.first_sequence,
            "last_sequence": found.last_sequence,
            "month": found.month,
            "quantity": decimal_text(found.quantity).replace(",", ""),
            "quantity_exact": str(found.quantity),
            "unit": found.unit.render(language),
            "price_version_id": found.price_version_id,
        }
    return {
        "id": line.tx_id,
        "seq": line.seq,
        "at": time_of(line.at_us),
        "kind": line.kind,
        "memo": words(line.memo, language),
        "amount": yuan_of(line.amount),
        "balance": yuan_of(line.balance),
        "actor": login_of(line.actor),
        "use": use,
        "energy": energy_out(energy, language),
    }


From = Annotated[
    str | None, Query(alias="from", max_length=40, description="Not before this time (RFC 3339)")
]
To = Annotated[str | None, Query(alias="to", max_length=40, description="Before this time (RFC 3339)")]


@router.get("/statement", scope="credit:read", responses={200: {"model": Page[StatementLineOut]}})
async def list_statement(
    request: Request,
    org: str,
    actor: Actor = CurrentActor,
    since: From = None,
    until: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List all transactions with the balance after each and the usage behind it, newest first."""
    store, language, before = center_of(request).store, language_of(request), read_number(cursor)
    from_us, to_us = read_time(since, "from"), read_time(until, "to")

    def work() -> tuple[Sequence[Line], Mapping[int, EnergyUse]]:
        org_id = org_id_of(store, actor, org, "credit:read")
        rows = statement(
            store, actor, org_id, before_seq=before, from_us=from_us, to_us=to_us, limit=limit + 1
        )
        return rows, statement_energy(store, actor, org_id, rows)

    return await query(
        work,
        lambda found: page(
            found[0],
            limit,
            lambda row: str(row.seq),
            lambda row: _line(row, language, found[1].get(row.seq)),
        ),
    )


class TopUpIn(In):
    """A payment, or credit given as a promotion."""

    amount: Yuan = Field(max_length=40)
    memo: str = Field("", max_length=500)
    promotion: bool = False


class TopUpOut(Out):
    """A top-up and its state."""

    id: str
    org_id: str
    kind: TxKind
    amount: Yuan
    memo: str
    state: TopUpState
    requested_by: str
    requested: Time
    decided_by: str | None
    decided: Time | None
    transaction_id: str | None


def _top_up(found: TopUp) -> dict[str, object]:
    return {
        "id": found.id,
        "org_id": found.org_id,
        "kind": found.kind,
        "amount": yuan_of(found.amount),
        "memo": found.memo,
        "state": found.state,
        "requested_by": login_of(found.requested_by),
        "requested": time_of(found.requested_us),
        "decided_by": None if found.decided_by is None else login_of(found.decided_by),
        "decided": time_of(found.decided_us),
        "transaction_id": found.tx_id,
    }


@router.post(
    "/credit",
    scope="credit:write",
    location="/orgs/{org}/credit",
    status_code=201,
    responses={201: {"model": TopUpOut}},
)
async def create_top_up(request: Request, org: str, body: TopUpIn, actor: Actor = CurrentActor) -> Response:
    """Top up the organisation. Above the center's limit another person must approve it."""
    amount = read_yuan(body.amount, "amount")
    return await command(
        request,
        actor,
        lambda s: topups.top_up(
            s,
            actor,
            org_id_of(s, actor, org, "credit:write"),
            amount,
            memo=body.memo,
            promotion=body.promotion,
        ),
        _top_up,
        status=201,
    )


@router.get("/credit", scope="credit:read", responses={200: {"model": Page[TopUpOut]}})
async def list_org_top_ups(
    request: Request, org: str, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the organisation's top-ups, newest first."""
    store, before = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: topups.list_top_ups(
            store,
            actor,
            org_id_of(store, actor, org, "credit:read"),
            before_id=before,
            limit=limit + 1,
        ),
        lambda rows: page(rows, limit, lambda row: row.id, _top_up),
    )


@center_router.get("", scope="credit:read", at_center=True, responses={200: {"model": Page[TopUpOut]}})
async def list_top_ups(
    request: Request,
    actor: Actor = CurrentActor,
    state: Annotated[TopUpState | None, Query(description="Only top-ups in this state")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the top-ups of all organisations, newest first; `state=pending`: those waiting for approval."""
    store, before = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: topups.list_top_ups(store, actor, before_id=before, limit=limit + 1, state=state),
        lambda rows: page(rows, limit, lambda row: row.id, _top_up),
    )


@center_router.post("/{top_up}/approve", scope="credit:approve", responses={200: {"model": TopUpOut}})
async def approve_top_up(request: Request, top_up: str, actor: Actor = CurrentActor) -> Response:
    """Approve another person's top-up."""
    return await command(request, actor, lambda s: topups.approve_top_up(s, actor, top_up), _top_up)


@center_router.post("/{top_up}/reject", scope="credit:approve", responses={200: {"model": TopUpOut}})
async def reject_top_up(request: Request, top_up: str, actor: Actor = CurrentActor) -> Response:
    """Reject a pending top-up."""
    return await command(request, actor, lambda s: topups.reject_top_up(s, actor, top_up), _top_up)


class CorrectionIn(In):
    """A correction. Corrections with the same reference are posted once."""

    amount: Yuan = Field(max_length=40)
    memo: str = Field(max_length=500)
    reference: str = Field(max_length=100)


class PostedOut(Out):
    """A posted transaction."""

    transaction_id: str


@router.post(
    "/corrections",
    scope="credit:write",
    location="/orgs/{org}/statement",
    status_code=201,
    responses={201: {"model": PostedOut}},
)
async def create_correction(
    request: Request, org: str, body: CorrectionIn, actor: Actor = CurrentActor
) -> Response:
    """Correct a mistake by a new transaction that credits or, if negative, debits the organisation."""
    amount = read_yuan(body.amount, "amount")
    return await command(
        request,
        actor,
        lambda s: topups.correct(
            s,
            actor,
            org_id_of(s, actor, org, "credit:write"),
            amount,
            memo=body.memo,
            reference=body.reference,
        ),
        lambda found: {"transaction_id": found},
        status=201,
    )


class BudgetIn(In):
    """A monthly budget of the organisation or one of its projects. It only causes alerts; no job is stopped."""

    monthly: Yuan = Field(max_length=40)
    project: str | None = Field(None, max_length=80)
    thresholds: list[int] = Field(list(budgets.THRESHOLDS), max_length=20)


class BudgetOut(Out):
    """A monthly budget of an organisation or a project."""

    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str | None
    monthly: Yuan
    thresholds: list[int]


class Budgets(Out):
    """Budgets of an organisation and its projects."""

    items: list[BudgetOut]


@dataclass(frozen=True, slots=True)
class _Subject:
    id: str
    org_id: str


def _subject(store: Store, actor: Actor, org: str, project: str | None) -> _Subject:
    def read(tx: Tx) -> _Subject:
        if project is None:
            found = find_org(tx, actor, org, "projects:write")
            return _Subject(found.id, found.id)
        part = find_project(tx, actor, org, project, "projects:write")
        return _Subject(part.id, part.org_id)

    return store.read(read)


def _budget(found: budgets.Budget) -> Mapping[str, object]:
    return {
        "org_id": found.org_id,
        "project_id": found.project_id,
        "monthly": yuan_of(found.monthly),
        "thresholds": list(found.thresholds),
    }


@router.put("/budgets", scope="projects:write", responses={200: {"model": BudgetOut}})
async def set_budget(request: Request, org: str, body: BudgetIn, actor: Actor = CurrentActor) -> Response:
    """Set a monthly budget of the organisation or a project. Reaching a threshold sends an alert."""
    monthly = read_yuan(body.monthly, "monthly")

    def work(store: Store) -> budgets.Budget:
        subject = _subject(store, actor, org, body.project)
        wanted = budgets.Budget(subject.id, subject.org_id, monthly, tuple(body.thresholds))
        return budgets.set_budget(store, actor, wanted)

    return await command(
        request, actor, work, lambda found: with_owner(center_of(request).store, found, _budget)
    )


@router.get("/budgets", tie=Tied.PROJECT, scope="credit:read", responses={200: {"model": Budgets}})
async def list_budgets(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """List the budgets of the organisation and its projects."""
    store = center_of(request).store

    def work() -> Sequence[budgets.Budget]:
        owner = store.read(lambda tx: find_org(tx, actor, org, "credit:read", actor.project_id))
        return budgets.list_budgets(store, actor, owner.id)

    return await query(
        work,
        lambda rows: {"items": with_owners(store, rows, _budget)},
    )
