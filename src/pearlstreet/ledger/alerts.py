"""Alerts to organisations whose available balance has fallen to a limit that they set."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.tables import balance_alerts, funds
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop
from pearlstreet.tenancy.model import Actor

TOPIC = "balance.low"
_AVAILABLE = funds.c.balance_micro + funds.c.credit_limit_micro - funds.c.held_micro
_BELOW = sa.func.coalesce(balance_alerts.c.below_micro, 0)
_TOLD = sa.func.coalesce(balance_alerts.c.told, sa.false())
_JOINED = funds.outerjoin(balance_alerts, balance_alerts.c.org_id == funds.c.org_id)


def get_alert(store: Store, actor: Actor, org_id: str) -> Money:
    """Return the available balance at which the organisation is notified; 0: when nothing is left."""
    actor.require("credit:read", org_id)
    query = sa.select(balance_alerts.c.below_micro).where(balance_alerts.c.org_id == org_id)
    return Money(store.read(lambda tx: tx.scalar(query)) or 0)


def set_alert(store: Store, actor: Actor, org_id: str, below: Money) -> Money:
    """Set the available balance at which the organisation is notified. Raises InvalidInput for a negative amount."""
    actor.require("notices:write", org_id)
    if below.micro < 0:
        raise InvalidInput(text("The limit for a balance alert must be 0 or more"))

    def command(tx: Tx) -> Money:
        tx.execute(sa.delete(balance_alerts).where(balance_alerts.c.org_id == org_id))
        tx.execute(sa.insert(balance_alerts).values(org_id=org_id, below_micro=below.micro, told=False))
        details = {"below": str(below)}
        audit.record(
            tx, actor=actor.label, action="balance.alert", target=org_id, org_id=org_id, details=details
        )
        return below

    return store.write(command)


def balance_loop() -> Loop:
    """Return the loop that checks all balances every 30 s, so that postings need not check them."""
    return CycleLoop("watch_balances", _check_balances, interval_s=30.0)


def _check_balances(store: Store) -> bool:
    # An organisation that never had funds gets no notice that none are left.
    used = sa.or_(funds.c.balance_micro != 0, funds.c.held_micro != 0)
    fallen = sa.select(funds.c.org_id, _AVAILABLE.label("left"), _BELOW.label("below")).select_from(_JOINED)
    fallen = fallen.where(_AVAILABLE <= _BELOW, sa.not_(_TOLD), used)
    risen = sa.select(balance_alerts.c.org_id).select_from(_JOINED)
    risen = risen.where(_AVAILABLE > _BELOW, balance_alerts.c.told)
    if not store.read(lambda tx: [*tx.rows(fallen.limit(1)), *tx.rows(risen.limit(1))]):
        return False

    def command(tx: Tx) -> None:
        above = [row["org_id"] for row in tx.rows(risen)]
        tx.execute(sa.update(balance_alerts).where(balance_alerts.c.org_id.in_(above)).values(told=False))
        for row in tx.rows(fallen):
            _notify(tx, row["org_id"], Money(row["left"]), Money(row["below"]))

    store.write(command)
    return False


def _notify(tx: Tx, org_id: str, left: Money, below: Money) -> None:
    own = balance_alerts.c.org_id == org_id
    if not tx.execute(sa.update(balance_alerts).where(own).values(told=True)).rowcount:
        tx.execute(sa.insert(balance_alerts).values(org_id=org_id, below_micro=below.micro, told=True))
    payload = {"available": str(left), "below": str(below), "available_micro": left.micro}
    outbox.emit(tx, TOPIC, payload, org_id=org_id)
