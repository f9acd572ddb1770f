"""A small life of the books, checked four ways; `make ledger-scale` is the long one. And: each check can fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.ledger.tables import charges
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata
from tests.beancounting import complaints
from tests.scale import ledger
from tests.scale.ledger_world import LedgerWorld
from tests.scale.replay import differences, replay

OPERATIONS = 3000


def test_thousands_of_operations_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger.run(tmp_path, OPERATIONS, seed=3) == 0, capsys.readouterr().out


def test_some_operations_on_postgresql(
    tmp_path: Path, postgres_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ledger.run(tmp_path, OPERATIONS // 3, seed=4, url=postgres_database) == 0, capsys.readouterr().out


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LedgerWorld]:
    made = LedgerWorld(f"sqlite:///{tmp_path}/books.db", seed=5, operations=600)
    made.live(600)
    made.finish()
    yield made
    made.close()


def test_everything_that_can_go_wrong_did(world: LedgerWorld) -> None:
    """A life in which nothing was cut off, repeated or late would show little."""
    for what in ("cut off", "answer lost", "started again", "spans repeated", "spans refused"):
        assert world.counts[what], (what, world.counts)


def test_the_accountant_sees_a_lost_micro_yuan(world: LedgerWorld) -> None:
    world.check()
    world.accountant.balance["org_00"] += 1
    with pytest.raises(AssertionError, match="org_00"):
        world.check()


def test_the_replay_sees_a_charge_that_was_changed(world: LedgerWorld, tmp_path: Path) -> None:
    charge = world.store.read(
        lambda tx: tx.scalar(sa.select(charges.c.id).where(charges.c.amount_micro > 0).limit(1))
    )
    with closing(sqlite3.connect(tmp_path / "books.db")) as raw:
        raw.execute("DROP TRIGGER ledger_charges_fixed")
        raw.execute("UPDATE ledger_charges SET amount_micro = amount_micro + 1 WHERE id = ?", (charge,))
        raw.commit()
    new = Store(Database("sqlite://"), clock=world.clock, rng=world.rng)
    metadata.create_all(new.database.engine)
    assert replay(world.store, new) > 0
    assert [found.split()[0] for found in differences(world.store, new)] == ["stream"]
    new.close()


def test_beancount_sees_a_journal_that_does_not_balance(world: LedgerWorld, tmp_path: Path) -> None:
    assert ledger.checked_journal(world, tmp_path) == ""
    journal = tmp_path / "books.beancount"
    written = journal.read_text(encoding="utf-8")
    assert "Assets:Bank  9000.00 CNY" in written or "Assets:Bank  9000.000000 CNY" in written
    journal.write_text(written.replace("Assets:Bank  9000.0", "Assets:Bank  9000.1", 1), encoding="utf-8")
    assert complaints(journal)
