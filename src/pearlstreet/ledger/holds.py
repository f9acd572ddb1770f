"""Holds: money set aside for a running attempt, used up by its charges; the remainder is released at its end.

A charge of an attempt reduces the balance and the attempt's open hold by the same amount, so it is not counted twice.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import check
from pearlstreet.base.money import Money
from pearlstreet.ledger.funds import available, change_held, short_of
from pearlstreet.ledger.posting import post_spans
from pearlstreet.ledger.tables import holds
from pearlstreet.store.core import Tx

# These statements are built once because every start and every end of an attempt runs them.
_BY_ID = sa.select(holds).where(holds.c.id == sa.bindparam("hold"))
_BY_REFERENCE = sa.select(holds).where(holds.c.reference == sa.bindparam("reference"))
_INSERT = sa.insert(holds)
_UPDATE = sa.update(holds).where(holds.c.id == sa.bindparam("of_hold"))


def place_hold(tx: Tx, org_id: str, amount: Money, reference: str) -> str:
    """Set `amount` aside for `reference` (an attempt) and return the hold's id; the same reference gets the same hold.

    Raises PaymentRequired when less than `amount` is available.
    """
    check(amount.micro >= 0, "a hold is not negative", reference=reference)
    existing = tx.execute(_BY_REFERENCE, {"reference": reference}).mappings().first()
    if existing is not None:
        check(existing["org_id"] == org_id, "a hold's reference is one organisation's", reference=reference)
        return str(existing["id"])
    left = available(tx, org_id)
    if amount and left < amount:
        raise short_of(amount, left)
    hold_id = tx.new_id("hold")
    tx.execute(
        _INSERT,
        {
            "id": hold_id,
            "org_id": org_id,
            "reference": reference,
            "amount_micro": amount.micro,
            "used_micro": 0,
            "placed_us": tx.now_us,
            "settled_us": None,
        },
    )
    change_held(tx, org_id, amount.micro)
    return hold_id


def extend_hold(tx: Tx, hold_id: str, to_amount: Money) -> bool:
    """Raise the hold's total, including its used part, to `to_amount`; returns False if not enough is available."""
    hold = _open(tx, hold_id)
    more = to_amount.micro - hold["amount_micro"]
    if more <= 0:
        return True
    if available(tx, hold["org_id"]).micro < more:
        return False
    tx.execute(_UPDATE, {"of_hold": hold_id, "amount_micro": to_amount.micro})
    change_held(tx, hold["org_id"], more)
    return True


def settle_hold(tx: Tx, hold_id: str) -> Money:
    """Charge the remaining use of the attempt, close its hold and release the remainder; returns the amount released.

    A hold that is closed already releases 0.
    """
    reference = _row(tx, hold_id)["reference"]
    post_spans(tx, external_id=reference)
    hold = _row(tx, hold_id)
    if hold["settled_us"] is not None:
        return Money(0)
    rest = hold["amount_micro"] - hold["used_micro"]
    tx.execute(_UPDATE, {"of_hold": hold_id, "settled_us": tx.now_us})
    change_held(tx, hold["org_id"], -rest)
    return Money(rest)


def _row(tx: Tx, hold_id: str) -> RowMapping:
    row = tx.execute(_BY_ID, {"hold": hold_id}).mappings().first()
    check(row is not None, "a hold exists", hold=hold_id)
    assert row is not None
    return row


def _open(tx: Tx, hold_id: str) -> RowMapping:
    hold = _row(tx, hold_id)
    check(hold["settled_us"] is None, "a settled hold is not extended", hold=hold_id)
    return hold
