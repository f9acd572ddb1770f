"""Sums for people who look at the whole: what the center has charged and holds, what an organisation has spent."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.ledger.budgets import spent
from pearlstreet.ledger.months import month_at
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import funds, spending
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class CenterMoney:
    """The center as a whole, in the running month of its time zone."""

    month: str
    charged: Money
    """Charges less refunds of the month."""
    balances: Money
    """What all organisations have together."""
    held: Money
    """What of that is set aside for running work."""


def center_money(store: Store, actor: Actor) -> CenterMoney:
    """The sums over all organisations. Raises Forbidden for who does not see all of them."""
    actor.require("credit:read")

    def query(tx: Tx) -> CenterMoney:
        month = _month(tx)
        of_orgs = spending.c.subject_id.startswith("org_")
        charged = tx.scalar(
            sa.select(sa.func.sum(spending.c.spent_micro)).where(spending.c.month == month, of_orgs)
        )
        sums = sa.select(
            sa.func.sum(funds.c.balance_micro).label("all"), sa.func.sum(funds.c.held_micro).label("held")
        )
        row = tx.rows(sums)[0]
        return CenterMoney(
            month, Money(int(charged or 0)), Money(int(row["all"] or 0)), Money(int(row["held"] or 0))
        )

    return store.read(query)


def spent_this_month(store: Store, actor: Actor, subject_id: str, org_id: str) -> tuple[str, Money]:
    """The running month, and what an organisation or one of its projects has been charged in it. Raises NotFound."""
    actor.require("credit:read", org_id)

    def query(tx: Tx) -> tuple[str, Money]:
        month = _month(tx)
        return month, spent(tx, subject_id, month)

    return store.read(query)


def _month(tx: Tx) -> str:
    return month_at(tx.now_us, read_site(tx).time_zone).name
