"""The exported journal is one that beancount itself loads without a complaint, and whose balances it confirms."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core import realization
from tests.store.ledger.books import AUDITOR, MEMBER, opened
from tests.store.ledger.test_proof import busy

from pearlstreet.base.errors import Forbidden
from pearlstreet.ledger.beancount import export_beancount, export_journal
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM


def test_beancount_accepts_the_journal(store: Store, tmp_path: Path) -> None:
    journal = tmp_path / "books.beancount"
    journal.write_text(export_journal(busy(store), AUDITOR), encoding="utf-8")
    found, errors, _ = loader.load_file(str(journal))
    assert errors == []
    accounts = realization.realize(found)
    wallet = realization.get(accounts, "Liabilities:Wallet:Org-a")
    assert wallet.balance.get_currency_units("CNY").number == Decimal("-97.4")
    assert sum(type(entry).__name__ == "Transaction" for entry in found) == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Income:Revenue:Cpu  -0.200000", "Income:Revenue:Cpu  -0.200001"),
        ("~ 0 CNY", "~ 0 CNY ; "),
        ("Assets:Bank  100.000000", "Assets:Bank  99.999999"),
    ],
)
def test_beancount_sees_a_difference_of_a_micro_yuan(sqlite_store: Store, old: str, new: str) -> None:
    """The second case changes nothing, so that this test would also see a journal that is refused whatever it says."""
    journal = export_journal(busy(sqlite_store), SYSTEM)
    assert old in journal
    _, errors, _ = loader.load_string(journal.replace(old, new, 1))
    assert bool(errors) == (new != "~ 0 CNY ; ")


def test_empty_books_make_an_empty_journal(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    journal = books.read(lambda tx: "".join(export_beancount(tx)))
    _, errors, _ = loader.load_string(journal)
    assert errors == []
    with pytest.raises(Forbidden):
        export_journal(books, MEMBER)
