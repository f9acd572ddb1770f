"""Sums for overview pages: charges and balances of the whole center, and spending of an organisation by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.ledger.budgets import spent
from pearlstreet.ledger.months import month_at, month_named
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import funds, spending
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import projects


@dataclass(frozen=True, slots=True)
class CenterMoney:
    """Sums over all organisations, for the current month in the center's time zone."""

    month: str
    charged: Money
    """Charges less refunds in the month."""
    balances: Money
    """Sum of all balances."""
    held: Money
    """Sum of all open holds."""


def center_money(store: Store, actor: Actor) -> CenterMoney:
    """Return the sums over all organisations. Raises Forbidden unless the actor may read all funds."""
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
    """Return the current month and the charges less refunds in it of an organisation or project. Raises NotFound."""
    actor.require("credit:read", org_id)

    def query(tx: Tx) -> tuple[str, Money]:
        month = _month(tx)
        return month, spent(tx, subject_id, month)

    return store.read(query)


@dataclass(frozen=True, slots=True)
class SubjectSpending:
    """Charges less refunds of an organisation or a project by month, oldest first."""

    subject_id: str
    name: str
    by_month: Sequence[Money]


@dataclass(frozen=True, slots=True)
class Spending:
    """Spending of an organisation by month. `whole` can exceed the projects' sum, because some use has no project."""

    months: Sequence[str]
    whole: SubjectSpending
    projects: Sequence[SubjectSpending]


def spending_by_month(store: Store, actor: Actor, org_id: str, *, months: int = 6) -> Spending:
    """Return the spending of an organisation and its projects in the last `months` months. Raises NotFound."""
    actor.require("credit:read", org_id)

    def query(tx: Tx) -> Spending:
        zone = read_site(tx).time_zone
        names = [month_at(tx.now_us, zone).name]
        while len(names) < months:
            names.insert(0, month_at(month_named(names[0], zone).start_us - 1, zone).name)
        parts = tx.rows(
            sa.select(projects.c.id, projects.c.slug)
            .where(projects.c.org_id == org_id)
            .order_by(projects.c.id)
        )
        subjects = [(org_id, ""), *((row["id"], row["slug"]) for row in parts)]
        project_ids = sa.select(projects.c.id).where(projects.c.org_id == org_id)
        rows = tx.rows(
            sa.select(spending).where(
                spending.c.month.in_(names),
                (spending.c.subject_id == org_id) | spending.c.subject_id.in_(project_ids),
            )
        )
        spent_micro = {(row["subject_id"], row["month"]): row["spent_micro"] for row in rows}
        by_subject = [
            SubjectSpending(subject, name, [Money(spent_micro.get((subject, month), 0)) for month in names])
            for subject, name in subjects
        ]
        return Spending(names, by_subject[0], by_subject[1:])

    return store.read(query)


def _month(tx: Tx) -> str:
    return month_at(tx.now_us, read_site(tx).time_zone).name
