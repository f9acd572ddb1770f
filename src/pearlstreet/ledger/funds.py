"""Funds of an organisation: balance, credit limit and held money. Hot path: one row, one query."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, PaymentRequired, check
from pearlstreet.base.money import Money, with_yuan_sign
from pearlstreet.base.text import text
from pearlstreet.ledger.book import chunks
from pearlstreet.ledger.model import Balance
from pearlstreet.ledger.tables import funds, holds
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

_AVAILABLE = sa.select(funds.c.balance_micro + funds.c.credit_limit_micro - funds.c.held_micro).where(
    funds.c.org_id == sa.bindparam("org_id")
)

_OPEN_HOLDS = sa.select(holds).where(
    holds.c.reference.in_(sa.bindparam("references", expanding=True)), holds.c.settled_us.is_(None)
)
_USE = (
    sa.update(holds)
    .where(holds.c.id == sa.bindparam("of_hold"))
    .values(used_micro=holds.c.used_micro + sa.bindparam("more", type_=sa.BigInteger))
)
_CHANGE_HELD = (
    sa.update(funds)
    .where(funds.c.org_id == sa.bindparam("of_org"))
    .values(held_micro=funds.c.held_micro + sa.bindparam("change", type_=sa.BigInteger))
)


def available(tx: Tx, org_id: str) -> Money:
    """Return balance + credit limit − open holds of an organisation."""
    return Money(tx.execute(_AVAILABLE, {"org_id": org_id}).scalar() or 0)


def check_affordable(tx: Tx, org_id: str, one_hour: Money) -> None:
    """Raise PaymentRequired unless the organisation can pay for an hour of the job it submits."""
    left = available(tx, org_id)
    if left < one_hour:
        raise short_of(one_hour, left)


def short_of(needed: Money, left: Money) -> PaymentRequired:
    """Return the error that says how much money is missing."""
    return PaymentRequired(
        text(
            "This needs ¥{needed} and {left} is available", needed=str(needed), left=with_yuan_sign(str(left))
        ),
        hint=text(
            "Ask the center's operator for a top-up of at least ¥{missing}", missing=str(needed - left)
        ),
    )


def read_balance(tx: Tx, org_id: str) -> Balance:
    """Return the balance of an organisation; zeros if it never had funds."""
    row = tx.first(sa.select(funds).where(funds.c.org_id == org_id))
    if row is None:
        return Balance(org_id, Money(0), Money(0), Money(0))
    return Balance(
        org_id, Money(row["balance_micro"]), Money(row["held_micro"]), Money(row["credit_limit_micro"])
    )


def use_holds(tx: Tx, charged: Mapping[str, int]) -> None:
    """Take charges (micro-yuan by reference) out of the open holds with the same references."""
    freed: dict[str, int] = {}
    for part in chunks(charged):
        for hold in tx.execute(_OPEN_HOLDS, {"references": list(part)}).mappings().all():
            used = min(charged[hold["reference"]], hold["amount_micro"] - hold["used_micro"])
            if used:
                tx.execute(_USE, {"of_hold": hold["id"], "more": used})
                freed[hold["org_id"]] = freed.get(hold["org_id"], 0) + used
    for org_id, amount in freed.items():
        change_held(tx, org_id, -amount)


def change_held(tx: Tx, org_id: str, change: int) -> None:
    """Add `change` (micro-yuan) to the held money of an organisation."""
    if not change:
        return
    changed = tx.execute(_CHANGE_HELD, {"of_org": org_id, "change": change}).rowcount
    check(changed == 1, "who has a hold has funds", org=org_id)


def balance(store: Store, actor: Actor, org_id: str) -> Balance:
    """Return the balance of an organisation. Raises NotFound for one that the actor cannot see."""
    actor.require("credit:read", org_id)
    return store.read(lambda tx: read_balance(tx, org_id))


def set_credit_limit(store: Store, actor: Actor, org_id: str, limit: Money) -> Balance:
    """Set how far below zero the balance of an organisation may go: 0 means prepaid, more means postpaid."""
    actor.require("credit:write")
    if limit.micro < 0:
        raise InvalidInput(text("A credit limit is 0 or more"))

    def command(tx: Tx) -> Balance:
        before = read_balance(tx, org_id)
        changed = tx.execute(
            sa.update(funds).where(funds.c.org_id == org_id).values(credit_limit_micro=limit.micro)
        ).rowcount
        if not changed:
            tx.execute(
                sa.insert(funds).values(
                    org_id=org_id, balance_micro=0, held_micro=0, credit_limit_micro=limit.micro
                )
            )
        audit.record(
            tx,
            actor=actor.label,
            action="credit.limit",
            target=org_id,
            org_id=org_id,
            details={"before": str(before.credit_limit), "after": str(limit)},
        )
        return read_balance(tx, org_id)

    return store.write(command)
