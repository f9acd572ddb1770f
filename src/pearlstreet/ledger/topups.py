"""Top-ups, promotional grants and corrections by operators. Above a limit a second person must approve a top-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import post_one
from pearlstreet.ledger.model import Draft, Entry, TxKind
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import top_ups, transactions
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs

MOST = Money(10**9 * 1_000_000)
"""Largest single top-up: 10⁹ yuan."""


class TopUpState(StrEnum):
    """State of a top-up."""

    PENDING = "pending"
    """The top-up waits for a second person's approval."""
    POSTED = "posted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TopUp:
    """A payment of an organisation, or a promotional grant to it."""

    id: str
    org_id: str
    kind: TxKind
    amount: Money
    memo: str
    state: TopUpState
    requested_by: str
    requested_us: int
    decided_by: str | None
    decided_us: int | None
    tx_id: str | None


def top_up(
    store: Store, actor: Actor, org_id: str, amount: Money, *, memo: str = "", promotion: bool = False
) -> TopUp:
    """Add credit to an organisation; above the center's limit it waits for another operator's `approve_top_up`.

    Raises InvalidInput for an amount of 0, below 0 or above `MOST`, NotFound for an unknown organisation.
    """
    actor.require("credit:write")
    problems = []
    if not 0 < amount.micro <= MOST.micro:
        problems.append(
            Problem("amount", text("The amount must be above 0 and at most ¥{most}", most=str(MOST)))
        )
    if len(memo) > 500:
        problems.append(Problem("memo", text("At most 500 characters are allowed")))
    if problems:
        raise InvalidInput(text("The top-up is invalid"), problems=problems)

    def command(tx: Tx) -> TopUp:
        if tx.scalar(sa.select(orgs.c.id).where(orgs.c.id == org_id)) is None:
            raise NotFound(text("No such organisation"))
        top_up_id = tx.new_id("topup")
        row = {
            "id": top_up_id,
            "org_id": org_id,
            "kind": (TxKind.GRANT if promotion else TxKind.TOP_UP).value,
            "amount_micro": amount.micro,
            "memo": memo,
            "state": TopUpState.PENDING.value,
            "requested_by": actor.label[:80],
            "requested_by_id": actor.user_id,
            "requested_us": tx.now_us,
            "decided_by": None,
            "decided_us": None,
            "tx_id": None,
        }
        tx.execute(sa.insert(top_ups).values(**row))
        _audit(tx, actor, "credit.top_up", top_up_id, org_id, amount)
        if amount <= read_site(tx).approval_above:
            _post(tx, actor, top_up_id)
        else:
            payload = {"top_up": top_up_id, "amount": str(amount), "who": actor.label.split(" ")[0]}
            outbox.emit(tx, "credit.approval_needed", payload, org_id=org_id)
        return _read(tx, top_up_id)

    return store.write(command)


def approve_top_up(store: Store, actor: Actor, top_up_id: str) -> TopUp:
    """Approve another operator's top-up. Raises Forbidden for the actor's own, Conflict when it was decided before."""
    actor.require("credit:approve")

    def command(tx: Tx) -> TopUp:
        row = _pending(tx, actor, top_up_id)
        _audit(tx, actor, "credit.approve", top_up_id, row["org_id"], Money(row["amount_micro"]))
        _post(tx, actor, top_up_id)
        return _read(tx, top_up_id)

    return store.write(command)


def reject_top_up(store: Store, actor: Actor, top_up_id: str) -> TopUp:
    """Reject a pending top-up; its requester may do so too. Raises Conflict when it was decided before."""
    actor.require("credit:approve")

    def command(tx: Tx) -> TopUp:
        row = _pending(tx, actor, top_up_id, own=True)
        _audit(tx, actor, "credit.reject", top_up_id, row["org_id"], Money(row["amount_micro"]))
        _decide(tx, actor, top_up_id, TopUpState.REJECTED, None)
        return _read(tx, top_up_id)

    return store.write(command)


def list_top_ups(
    store: Store,
    actor: Actor,
    org_id: str | None = None,
    *,
    state: TopUpState | None = None,
    before_id: str | None = None,
    limit: int = 100,
) -> Sequence[TopUp]:
    """Return the top-ups of an organisation (None: of all), newest first, before the id `before_id`."""
    actor.require("credit:read", org_id)
    query = sa.select(top_ups).order_by(top_ups.c.id.desc()).limit(limit)
    if org_id is not None:
        query = query.where(top_ups.c.org_id == org_id)
    if state is not None:
        query = query.where(top_ups.c.state == state.value)
    if before_id is not None:
        query = query.where(top_ups.c.id < before_id)
    return [_view(row) for row in store.read(lambda tx: tx.rows(query))]


def correct(store: Store, actor: Actor, org_id: str, amount: Money, *, memo: str, reference: str) -> str:
    """Correct an organisation's balance by `amount` (negative: debit) in a new transaction; returns its id.

    The same `reference` is written once. Raises InvalidInput without an amount or memo, Forbidden above the limit beyond
    which a top-up needs approval, Conflict when the reference was used for another correction.
    """
    actor.require("credit:write")
    if not amount or not memo.strip() or len(memo) > 500 or not 0 < len(reference) <= 100:
        raise InvalidInput(text("A correction needs an amount, a memo that says why, and a reference"))

    def command(tx: Tx) -> str:
        if tx.scalar(sa.select(orgs.c.id).where(orgs.c.id == org_id)) is None:
            raise NotFound(text("No such organisation"))
        limit = read_site(tx).approval_above
        if abs(amount.micro) > limit.micro:
            raise Forbidden(text("A correction above ¥{limit} must be made as a top-up", limit=str(limit)))
        draft = Draft(
            TxKind.CORRECTION,
            f"correction/{reference}",
            text("Correction: {memo}", memo=memo),
            org_id=org_id,
            funds=amount,
            entries=(Entry(chart.REFUNDS, amount),),
            actor=actor.label,
        )
        before = tx.first(sa.select(transactions).where(transactions.c.reference == draft.reference))
        if before is not None and (before["org_id"], before["funds_micro"]) != (org_id, amount.micro):
            raise Conflict(
                text("The reference {reference} was used for another correction", reference=reference),
                hint=text("Use a separate reference for each correction"),
            )
        posted = post_one(tx, draft)
        if posted.fresh:
            _audit(tx, actor, "credit.correct", posted.id, org_id, amount)
        return posted.id

    return store.write(command)


def _memo(promotion: bool, memo: str) -> Text:
    if not memo:
        return text("Promotional grant") if promotion else text("Top-up")
    return text("Promotional grant: {memo}", memo=memo) if promotion else text("Top-up: {memo}", memo=memo)


def _post(tx: Tx, actor: Actor, top_up_id: str) -> None:
    row = _read(tx, top_up_id)
    promotion = row.kind is TxKind.GRANT
    draft = Draft(
        row.kind,
        f"top-up/{top_up_id}",
        _memo(promotion, row.memo),
        org_id=row.org_id,
        funds=row.amount,
        entries=(Entry(chart.PROMOTION if promotion else chart.BANK, row.amount),),
        actor=actor.label,
    )
    _decide(tx, actor, top_up_id, TopUpState.POSTED, post_one(tx, draft).id)
    tx.hint("plan")


def _decide(tx: Tx, actor: Actor, top_up_id: str, state: TopUpState, tx_id: str | None) -> None:
    tx.execute(
        sa.update(top_ups)
        .where(top_ups.c.id == top_up_id, top_ups.c.state == TopUpState.PENDING.value)
        .values(state=state.value, decided_by=actor.label[:80], decided_us=tx.now_us, tx_id=tx_id)
    )


def _pending(tx: Tx, actor: Actor, top_up_id: str, *, own: bool = False) -> RowMapping:
    row = tx.first(sa.select(top_ups).where(top_ups.c.id == top_up_id))
    if row is None:
        raise NotFound(text("No such top-up"))
    if row["state"] != TopUpState.PENDING.value:
        raise Conflict(text("The top-up was {state} already", state=row["state"]))
    if not own and row["requested_by_id"] == actor.user_id:
        raise Forbidden(
            text("A top-up above the limit must be approved by another operator than its requester"),
            hint=text("Ask another operator: pearl credit approve {id}", id=top_up_id),
        )
    return row


def _audit(tx: Tx, actor: Actor, action: str, target: str, org_id: str, amount: Money) -> None:
    audit.record(
        tx, actor=actor.label, action=action, target=target, org_id=org_id, details={"yuan": str(amount)}
    )


def _read(tx: Tx, top_up_id: str) -> TopUp:
    row = tx.first(sa.select(top_ups).where(top_ups.c.id == top_up_id))
    if row is None:
        raise NotFound(text("No such top-up"))
    return _view(row)


def _view(row: RowMapping) -> TopUp:
    return TopUp(
        row["id"],
        row["org_id"],
        TxKind(row["kind"]),
        Money(row["amount_micro"]),
        row["memo"],
        TopUpState(row["state"]),
        row["requested_by"],
        row["requested_us"],
        row["decided_by"],
        row["decided_us"],
        row["tx_id"],
    )
