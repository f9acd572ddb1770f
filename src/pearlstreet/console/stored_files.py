"""What the buttons below lists of outputs and uploads do: pin, unpin and delete the ticked files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.jobs.storage import files
from pearlstreet.console.bulk_actions import act_on_each
from pearlstreet.console.page_request import Answer, Ask, Go

TICKED_MAX = 200


def delete_outputs(ask: Ask) -> Answer:
    """Delete the ticked outputs for good."""
    return _delete(ask, "artefact", partial(files.delete_artefact, ask.store, ask.actor))


def delete_uploads(ask: Ask) -> Answer:
    """Delete the ticked uploads for good."""
    return _delete(ask, "upload", partial(files.delete_upload, ask.store, ask.actor))


def pin_outputs(ask: Ask) -> Answer:
    """Keep the ticked outputs whatever the retention says."""
    pin = partial(files.pin_artefact, ask.store, ask.actor, pinned=True)
    result = act_on_each(_ticked(ask, "artefact"), pin)
    return Go(ask.here, text("Files pinned: {count}", count=result.done))


def unpin_outputs(ask: Ask) -> Answer:
    """Keep the ticked outputs for as long as the retention says."""
    unpin = partial(files.pin_artefact, ask.store, ask.actor, pinned=False)
    result = act_on_each(_ticked(ask, "artefact"), unpin)
    return Go(ask.here, text("Files no longer pinned: {count}", count=result.done))


def _delete(ask: Ask, kind: str, action: Callable[[str], object]) -> Answer:
    result = act_on_each(_ticked(ask, kind), action)
    if result.failed:
        message = text(
            "Files deleted: {count}; kept, because they are pinned or needed by a job: {failed}",
            count=result.done,
            failed=result.failed,
        )
        return Go(ask.here, message)
    return Go(ask.here, text("Files deleted: {count}", count=result.done))


def _ticked(ask: Ask, kind: str) -> Sequence[str]:
    ids = tuple(ask.lists.get(kind, ()))[:TICKED_MAX]
    if not ids:
        raise InvalidInput(text("No file is chosen"), hint=text("Tick the boxes of the files that are meant"))
    return ids
