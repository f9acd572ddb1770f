"""The loops of the ledger: posting of due spans, and balance alerts."""

from __future__ import annotations

from pearlstreet.ledger.alerts import balance_loop
from pearlstreet.ledger.posting import BATCH, post_due_spans
from pearlstreet.ledger.spans import TOPIC
from pearlstreet.store.core import Store
from pearlstreet.store.loop import CycleLoop, Loop


def ledger_loops() -> tuple[Loop, ...]:
    """Return the loops of the ledger."""
    return (CycleLoop("ledger-posting", _post, hints=(TOPIC,), interval_s=5.0), balance_loop())


def _post(store: Store) -> bool:
    return post_due_spans(store, BATCH) == BATCH
