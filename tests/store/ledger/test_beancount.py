"""The exported journal is one that beancount itself loads without a complaint, and whose balances it confirms."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.beancounting import complaints
from tests.store.ledger.books import AUDITOR, MEMBER, opened
from tests.store.ledger.test_proof import busy

from pearlstreet.base.errors import Forbidden
from pearlstreet.ledger.beancount import export_beancount, export_journal
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM


def test_beancount_accepts_the_journal(store: Store, tmp_path: Path) -> None:
    written = export_journal(busy(store), AUDITOR)
    assert _complaints(written, tmp_path) == ""
    assert sum(line[10:13] == " * " for line in written.splitlines()) == 7
    wallet = "\n2027-01-01 balance Liabilities:Wallet:Org-a  {} ~ 0 CNY\n"
    assert _complaints(written + wallet.format("-97.4"), tmp_path) == ""
    assert "Org-a" in _complaints(written + wallet.format("-97.400001"), tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Income:Revenue:Cpu  -0.200000", "Income:Revenue:Cpu  -0.200001"),
        ("~ 0 CNY", "~ 0 CNY ; "),
        ("Assets:Bank  100.000000", "Assets:Bank  99.999999"),
    ],
)
def test_beancount_sees_a_difference_of_a_micro_yuan(
    sqlite_store: Store, tmp_path: Path, old: str, new: str
) -> None:
    """The second case changes nothing, so that this test would also see a journal that is refused whatever it says."""
    journal = export_journal(busy(sqlite_store), SYSTEM)
    assert old in journal
    assert bool(_complaints(journal.replace(old, new, 1), tmp_path)) == (new != "~ 0 CNY ; ")


def test_empty_books_make_an_empty_journal(sqlite_store: Store, tmp_path: Path) -> None:
    books = opened(sqlite_store)
    journal = books.read(lambda tx: "".join(export_beancount(tx)))
    assert _complaints(journal, tmp_path) == ""
    with pytest.raises(Forbidden):
        export_journal(books, MEMBER)


def _complaints(journal: str, folder: Path) -> str:
    file = folder / "books.beancount"
    file.write_text(journal, encoding="utf-8")
    return complaints(file)
