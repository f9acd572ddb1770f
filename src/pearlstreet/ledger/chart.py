"""The chart of accounts, as data. Each organisation has a wallet and a receivable; revenue is split by resource kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pearlstreet.base.errors import check
from pearlstreet.ledger.model import AccountKind


@dataclass(frozen=True, slots=True)
class Chapter:
    """A group of accounts: their kind, and their name in a beancount journal."""

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
"""Chapters by name. An account's id is a chapter's name, or a chapter's name and `/name`."""


def wallet(org_id: str) -> str:
    """Return the account of the money that an organisation paid in and has not used, which the center owes it."""
    return f"wallet/{org_id}"


def receivable(org_id: str) -> str:
    """Return the account of the money that an organisation owes the center."""
    return f"receivable/{org_id}"


def revenue(resource: str) -> str:
    """Return the revenue account of a resource's kind: `accelerator/t4` → `revenue/accelerator`."""
    return "revenue/" + resource.split("/", 1)[0]


def chapter_of(account: str) -> Chapter:
    """Return the chapter of an account id. Raises BugError for an account outside the chart."""
    chapter = CHAPTERS.get(account) or CHAPTERS.get(account.split("/", 1)[0])
    check(chapter is not None, "an account is in the chart", account=account)
    assert chapter is not None
    return chapter


def org_of(account: str) -> str | None:
    """Return the organisation id in the id of a wallet or receivable; None for other accounts."""
    family, _, name = account.partition("/")
    return name if family in ("wallet", "receivable") else None
