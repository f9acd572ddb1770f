"""The chart of accounts, as data. Every organisation has a wallet and a receivable; revenue is kept by resource kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pearlstreet.base.errors import check
from pearlstreet.ledger.model import AccountKind


@dataclass(frozen=True, slots=True)
class Chapter:
    """A family of accounts: its kind, and its name in a beancount journal."""

    kind: AccountKind
    journal: str


BANK = "bank"
PROMOTION = "promotion"
REFUNDS = "refunds"
TAX_PAYABLE = "tax/payable"
TAX_INCLUDED = "tax/included"

CHAPTERS: Mapping[str, Chapter] = {
    "wallet": Chapter(AccountKind.LIABILITY, "Liabilities:Wallet"),
    "receivable": Chapter(AccountKind.ASSET, "Assets:Receivable"),
    "bank": Chapter(AccountKind.ASSET, "Assets:Bank"),
    "revenue": Chapter(AccountKind.INCOME, "Income:Revenue"),
    "refunds": Chapter(AccountKind.EXPENSE, "Expenses:Refunds"),
    "promotion": Chapter(AccountKind.EXPENSE, "Expenses:Promotion"),
    "tax/payable": Chapter(AccountKind.LIABILITY, "Liabilities:Tax:Payable"),
    "tax/included": Chapter(AccountKind.EXPENSE, "Expenses:Tax:Included"),
}
"""Account ids are a chapter, or a chapter and `/name`."""


def wallet(org_id: str) -> str:
    """What the center owes an organisation: paid in and not yet used."""
    return f"wallet/{org_id}"


def receivable(org_id: str) -> str:
    """What an organisation owes the center: used beyond what was paid in."""
    return f"receivable/{org_id}"


def revenue(resource: str) -> str:
    """Income from a resource's kind: `accelerator/t4` → `revenue/accelerator`."""
    return "revenue/" + resource.split("/", 1)[0]


def chapter_of(account: str) -> Chapter:
    """The chapter an account id belongs to."""
    found = CHAPTERS.get(account) or CHAPTERS.get(account.split("/", 1)[0])
    check(found is not None, "an account is in the chart", account=account)
    assert found is not None
    return found


def org_of(account: str) -> str | None:
    """Whose wallet or receivable it is."""
    family, _, name = account.partition("/")
    return name if family in ("wallet", "receivable") else None
