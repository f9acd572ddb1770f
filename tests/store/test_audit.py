"""Whatever is done to the log outside the program shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import KEY

from pearlstreet.base.rng import SystemRng
from pearlstreet.store import audit, keyring
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer, SealingKey
from pearlstreet.store.tables import audit as log
from pearlstreet.store.tables import audit_head, metadata

ROWS = 12


def _fill(store: Store, rows: int = ROWS) -> None:
    def command(tx: Tx) -> None:
        for number in range(rows):
            org_id = None if number % 3 else f"org_{number}"
            audit.record(
                tx,
                actor="usr_1",
                action="job.submit",
                target=f"job_{number}",
                org_id=org_id,
                details={"n": number},
            )

    store.write(command)


def test_an_untouched_log_verifies(store: Store) -> None:
    assert store.read(audit.verify) == audit.AuditReport(0, audit.GENESIS, None, None)
    _fill(store)
    _fill(store)
    report = store.read(audit.verify)
    assert (report.rows, report.broken_at, report.problem) == (2 * ROWS, None, None)


def test_text_of_any_language_survives_the_hash(store: Store) -> None:
    store.write(
        lambda tx: audit.record(
            tx, actor="张三", action="x", target='"\\\n', details={"原因": ["é", None, 1.5]}
        )
    )
    assert store.read(audit.verify).broken_at is None


EDITS: dict[str, Callable[[Tx, int], object]] = {
    "actor": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(actor="usr_2")),
    "time": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(at_us=log.c.at_us + 1)),
    "organisation": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(org_id="None")),
    "action": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(action="job.read")),
    "target": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(target="job_x")),
    "details": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(details='{"n": -1}')),
    "hash": lambda tx, seq: tx.execute(sa.update(log).where(log.c.seq == seq).values(hash="f" * 64)),
    "drop": lambda tx, seq: tx.execute(sa.delete(log).where(log.c.seq == seq)),
    "truncate": lambda tx, seq: tx.execute(sa.delete(log).where(log.c.seq >= seq)),
    "swap": lambda tx, seq: _swap(tx, seq),
    "drop and close the gap": lambda tx, seq: _close_gap(tx, seq),
    "rewrite the tail": lambda tx, seq: _rewrite(tx, seq),
    "truncate and move the head": lambda tx, seq: _truncate_with_head(tx, seq),
}


def _swap(tx: Tx, seq: int) -> None:
    other = seq + 1 if seq < ROWS else seq - 1
    for before, after in ((seq, 0), (other, seq), (0, other)):
        tx.execute(sa.update(log).where(log.c.seq == before).values(seq=after))


def _close_gap(tx: Tx, seq: int) -> None:
    tx.execute(sa.delete(log).where(log.c.seq == seq))
    for later in range(seq + 1, ROWS + 1):
        tx.execute(sa.update(log).where(log.c.seq == later).values(seq=later - 1))


def _rewrite(tx: Tx, seq: int) -> None:
    """What a writer of the database without the key can do: hash everything anew from the row it changed."""
    previous = tx.scalar(sa.select(log.c.hash).where(log.c.seq == seq - 1)) or audit.GENESIS
    for row in tx.rows(sa.select(log).where(log.c.seq >= seq).order_by(log.c.seq)):
        changed = {**row, "actor": "usr_2"}
        digest = audit._digest(changed, previous)
        values = {"actor": "usr_2", "previous_hash": previous, "hash": digest}
        tx.execute(sa.update(log).where(log.c.seq == row["seq"]).values(**values))
        previous = digest
    tx.execute(sa.update(audit_head).values(hash=previous))


def _truncate_with_head(tx: Tx, seq: int) -> None:
    tx.execute(sa.delete(log).where(log.c.seq >= seq))
    last = tx.first(sa.select(log).order_by(log.c.seq.desc()))
    if last is None:
        tx.execute(sa.delete(audit_head))
    else:
        tx.execute(sa.update(audit_head).values(seq=last["seq"], hash=last["hash"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=st.sampled_from(sorted(EDITS)), seq=st.integers(1, ROWS))
def test_any_tampering_is_found(edit: str, seq: int) -> None:
    store = Store(Database("sqlite://"), sealer=Sealer((KEY,), SystemRng()))
    metadata.create_all(store.database.engine)
    try:
        keyring.unlock(store, Path("unused"), KEY.to_text())
        _fill(store, ROWS - 1)
        store.write(lambda tx: EDITS[edit](tx, seq))
        report = store.read(audit.verify)
        assert report.broken_at is not None, f"{edit} of row {seq} went unseen"
        assert report.problem
    finally:
        store.close()


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_tampering_is_found_on_both_databases(store: Store, edit: str) -> None:
    keyring.unlock(store, Path("unused"), KEY.to_text())
    _fill(store, ROWS - 1)
    store.write(lambda tx: EDITS[edit](tx, ROWS // 2))
    assert store.read(audit.verify).broken_at is not None


def test_a_log_signed_with_an_older_key_still_verifies(store: Store) -> None:
    _fill(store)
    newer = SealingKey(bytes(range(1, 33)))
    rotated = replace(store, sealer=Sealer((newer, KEY), SystemRng()))
    assert rotated.read(audit.verify).broken_at is None
    foreign = replace(store, sealer=Sealer((newer,), SystemRng()))
    assert "signature" in str(foreign.read(audit.verify).problem)
