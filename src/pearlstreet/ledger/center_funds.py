"""Balances and monthly charges of all organisations, for the center's operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.ledger.model import Balance
from pearlstreet.ledger.months import month_at, month_named
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import funds, spending
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs


@dataclass(frozen=True, slots=True)
class OrgFunds:
    """An organisation with its balance and its charges in the current month."""

    org_id: str
    slug: str
    name: str
    state: str
    balance: Balance
    charged: Money
    """Charges less refunds in the current month."""


def list_funds(
    store: Store,
    actor: Actor,
    *,
    words: str = "",
    short: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[OrgFunds]:
    """Return organisations with their funds, ordered by slug, after the slug `after`.

    `words` must occur in the slug or name; with `short` only organisations without available balance are returned.
    Raises Forbidden unless the actor may read the funds of all organisations.
    """
    actor.require("credit:read")
    held = sa.func.coalesce(funds.c.held_micro, 0)
    limited = sa.func.coalesce(funds.c.credit_limit_micro, 0)
    has = sa.func.coalesce(funds.c.balance_micro, 0)

    def query(tx: Tx) -> Sequence[OrgFunds]:
        month = month_at(tx.now_us, read_site(tx).time_zone).name
        organisations = (
            sa.select(
                orgs.c.id,
                orgs.c.slug,
                orgs.c.name,
                orgs.c.state,
                has.label("balance"),
                held.label("held"),
                limited.label("credit_limit"),
                sa.func.coalesce(spending.c.spent_micro, 0).label("charged"),
            )
            .select_from(
                orgs.outerjoin(funds, funds.c.org_id == orgs.c.id).outerjoin(
                    spending, sa.and_(spending.c.subject_id == orgs.c.id, spending.c.month == month)
                )
            )
            .order_by(orgs.c.slug)
            .limit(limit)
        )
        if words:
            named = orgs.c.name.icontains(words, autoescape=True)
            organisations = organisations.where(orgs.c.slug.icontains(words, autoescape=True) | named)
        if short:
            organisations = organisations.where(has + limited - held <= 0)
        if after is not None:
            organisations = organisations.where(orgs.c.slug > after)
        return [_funds(row) for row in tx.rows(organisations)]

    return store.read(query)


def balances(store: Store, actor: Actor, org_ids: Iterable[str]) -> Mapping[str, Balance]:
    """Return balances by organisation id, without organisations that never had funds. Raises Forbidden."""
    actor.require("credit:read")
    query = sa.select(funds).where(funds.c.org_id.in_(sorted(set(org_ids))))
    return {
        row["org_id"]: _balance(
            row["org_id"], row["balance_micro"], row["held_micro"], row["credit_limit_micro"]
        )
        for row in store.read(lambda tx: tx.rows(query))
    }


def charged_by_month(store: Store, actor: Actor, *, months: int = 12) -> Sequence[tuple[str, Money]]:
    """Return pairs (month, charges less refunds of all organisations), the current month last. Raises Forbidden."""
    actor.require("credit:read")

    def query(tx: Tx) -> Sequence[tuple[str, Money]]:
        zone = read_site(tx).time_zone
        names = [month_at(tx.now_us, zone).name]
        while len(names) < months:
            names.insert(0, month_at(month_named(names[0], zone).start_us - 1, zone).name)
        rows = tx.rows(
            sa.select(spending.c.month, sa.func.sum(spending.c.spent_micro).label("spent"))
            .where(spending.c.month.in_(names), spending.c.subject_id.startswith("org_", autoescape=True))
            .group_by(spending.c.month)
        )
        known = {row["month"]: int(row["spent"]) for row in rows}
        return [(name, Money(known.get(name, 0))) for name in names]

    return store.read(query)


def _funds(row: Row) -> OrgFunds:
    return OrgFunds(
        row["id"],
        row["slug"],
        row["name"],
        row["state"],
        _balance(row["id"], row["balance"], row["held"], row["credit_limit"]),
        Money(int(row["charged"])),
    )


def _balance(org_id: str, has: int, held: int, limit: int) -> Balance:
    return Balance(org_id, Money(int(has)), Money(int(held)), Money(int(limit)))
