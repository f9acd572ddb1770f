"""Export of the books as a beancount journal with all entries and an assertion of each account's balance.

Balances are asserted with a tolerance of zero, because by default beancount accepts a difference of a micro-yuan.
`bean-check` accepts the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from pearlstreet.base.clock import EPOCH
from pearlstreet.base.money import format_yuan
from pearlstreet.base.text import from_json
from pearlstreet.ledger import chart
from pearlstreet.ledger.months import zone_of
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import accounts, entries, transactions
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs

TITLE = "Pearlstreet"


def export_journal(store: Store, actor: Actor) -> str:
    """Return the whole journal, read from one consistent snapshot."""
    actor.require("audit:verify")
    return store.read(lambda tx: "".join(export_beancount(tx)))


def export_beancount(tx: Tx) -> Iterator[str]:
    """Yield the journal in parts. Dates are in the site's time zone; amounts are exact to the micro-yuan."""
    zone = read_site(tx).time_zone
    yield f'option "title" "{TITLE}"\noption "operating_currency" "CNY"\n'
    first = tx.scalar(sa.select(sa.func.min(transactions.c.at_us)))
    last = tx.scalar(sa.select(sa.func.max(transactions.c.at_us)))
    if first is None:
        return
    account_rows = tx.rows(sa.select(accounts).order_by(accounts.c.id))
    names = _journal_names(tx, [row["id"] for row in account_rows])
    for row in account_rows:
        yield f"\n{_day(first, zone)} open {names[row['id']]} {row['currency']}"
        if org_id := chart.org_of(row["id"]):
            yield f"\n  org-id: {_quoted(org_id)}"
    yield "\n"
    yield from _transactions(tx, zone, names)
    for row in account_rows:
        amount = _exact(row["balance_micro"])
        yield f"\n{_day(last, zone, later=1)} balance {names[row['id']]}  {amount} ~ 0 {row['currency']}"
    yield "\n"


def journal_name(account: str, slug: str | None = None) -> str:
    """Return an account's name in the journal: `wallet/org_01k…` of `river-lab` → `Liabilities:Wallet:River-lab`.

    `slug`: name of the account's organisation, if it has one.
    """
    chapter = chart.chapter_of(account)
    if account in chart.CHAPTERS:
        return chapter.journal
    name = (slug or account.split("/", 1)[1]).replace("_", "-")
    return f"{chapter.journal}:{name[:1].upper()}{name[1:]}"


def _journal_names(tx: Tx, account_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the journal names of accounts by id. Slugs are unique, so two accounts never share a name."""
    slugs = {row["id"]: row["slug"] for row in tx.rows(sa.select(orgs.c.id, orgs.c.slug))}
    return {account: journal_name(account, slugs.get(chart.org_of(account) or "")) for account in account_ids}


def _transactions(tx: Tx, zone: str, names: Mapping[str, str]) -> Iterator[str]:
    query = (
        sa.select(transactions, entries.c.account_id, entries.c.currency, entries.c.amount_micro)
        .join_from(transactions, entries, entries.c.tx_seq == transactions.c.seq)
        .order_by(transactions.c.seq, entries.c.line)
    )
    seq = None
    for row in tx.connection.execute(query).yield_per(1000).mappings():
        if row["seq"] != seq:
            seq = row["seq"]
            memo = _quoted(str(from_json(row["memo"])))
            yield f"\n{_day(row['at_us'], zone)} * {memo}\n"
            yield f"  id: {_quoted(row['id'])}\n  reference: {_quoted(row['reference'])}\n"
        yield f"  {names[row['account_id']]}  {_exact(row['amount_micro'])} {row['currency']}\n"


def _exact(micro: int) -> str:
    return format_yuan(micro, decimals=6).replace(",", "")


def _quoted(value: str) -> str:
    """Return a beancount string literal on one line; on one line beancount's escapes are those of JSON."""
    return json.dumps(" ".join(value.split()), ensure_ascii=False)


def _day(us: int, zone: str, *, later: int = 0) -> date:
    return (EPOCH + timedelta(microseconds=us)).astimezone(zone_of(zone)).date() + timedelta(days=later)
