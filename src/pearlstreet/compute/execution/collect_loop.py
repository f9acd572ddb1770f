"""The loop that lets owners store what their ended attempts left, and then ends the attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from pearlstreet.compute.execution.lifecycle import COLLECT, end_collected, find_attempt
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.owners import owner_of
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop

LANES, WORKERS = 4, 4
"""Lanes, and workers in each. Large outputs take minutes to copy; small ones go on as long as one lane has no large ones."""

_Ended = tuple[Row, Row]
"""Row of an ended attempt, and what its owner loaded to store its outputs."""


def collect_loop(execution: Execution) -> Loop:
    """Return the loop that stores what ended attempts left and ends them."""
    return RowLoop[_Ended, _Ended, Any](
        name="collect_outputs",
        table=attempts,
        conditions=(attempts.c.state == AttemptState.COLLECTING.value,),
        account=attempts.c.org_id,
        load=partial(_load, execution),
        decide=lambda ended, now_us: ended,
        act=lambda ended: owner_of(execution.owners, ended[0]).keep_outputs(*ended),
        apply=partial(_apply, execution),
        hints=(COLLECT,),
        interval_s=2.0,
        lease_s=1800,
        batch=WORKERS,
        workers=WORKERS,
        lanes=LANES,
    )


def _load(execution: Execution, tx: Tx, ids: Sequence[str]) -> Mapping[str, _Ended]:
    rows = tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))
    return {row["id"]: (row, owner_of(execution.owners, row).load_outputs(tx, row)) for row in rows}


def _apply(
    execution: Execution, tx: Tx, row_id: str, token: str, ended: _Ended, decision: _Ended, stored: Any
) -> int | None:
    attempt, loaded = ended
    owner = owner_of(execution.owners, attempt)
    kept = owner.note_outputs(tx, attempt, loaded, stored)
    if kept.again_us is not None:
        return kept.again_us
    noted = find_attempt(tx, row_id)
    if noted is not None:
        end_collected(tx, owner, noted, outputs_refused=kept.refused)
    return None
