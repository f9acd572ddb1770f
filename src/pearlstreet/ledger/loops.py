"""The loop of this room: due spans become charges."""

from __future__ import annotations

from pearlstreet.ledger.posting import BATCH, post_due_spans
from pearlstreet.ledger.spans import TOPIC
from pearlstreet.store.core import Store
from pearlstreet.store.loop import CycleLoop, Loop


def ledger_loops() -> tuple[Loop, ...]:
    """What the center runs for the books."""
    return (CycleLoop("ledger-posting", _post, hints=(TOPIC,), interval_s=5.0),)


def _post(store: Store) -> bool:
    return post_due_spans(store, BATCH) == BATCH
