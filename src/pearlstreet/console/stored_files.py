"""Actions on the selected files in lists of outputs and uploads: pin, unpin and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.console.bulk_actions import act_on_each
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect
from pearlstreet.services.storage import StorageService

TICKED_MAX = 200


def delete_outputs(request: PageRequest, storage: StorageService) -> PageResponse:
    """Delete the selected outputs."""
    return _delete(request, "artefact", partial(storage.delete_artefact, request.actor))


def delete_uploads(request: PageRequest, storage: StorageService) -> PageResponse:
    """Delete the selected uploads."""
    return _delete(request, "upload", partial(storage.delete_upload, request.actor))


def pin_outputs(request: PageRequest, storage: StorageService) -> PageResponse:
    """Exempt the selected outputs from retention."""
    pin = partial(storage.pin_artefact, request.actor, pinned=True)
    result = act_on_each(_ticked(request, "artefact"), pin)
    return Redirect(
        request.here, plural("{count} file is pinned", "{count} files are pinned", count=result.done)
    )


def unpin_outputs(request: PageRequest, storage: StorageService) -> PageResponse:
    """End the exemption of the selected outputs from retention."""
    unpin = partial(storage.pin_artefact, request.actor, pinned=False)
    result = act_on_each(_ticked(request, "artefact"), unpin)
    return Redirect(
        request.here,
        plural("{count} file is no longer pinned", "{count} files are no longer pinned", count=result.done),
    )


def _delete(request: PageRequest, kind: str, action: Callable[[str], object]) -> PageResponse:
    result = act_on_each(_ticked(request, kind), action)
    if result.failed:
        message = plural(
            "{count} file is deleted; kept, because pinned or needed by a job: {failed}",
            "{count} files are deleted; kept, because pinned or needed by a job: {failed}",
            count=result.done,
            failed=result.failed,
        )
        return Redirect(request.here, message)
    return Redirect(
        request.here, plural("{count} file is deleted", "{count} files are deleted", count=result.done)
    )


def _ticked(request: PageRequest, kind: str) -> Sequence[str]:
    ids = tuple(request.lists.get(kind, ()))[:TICKED_MAX]
    if not ids:
        raise InvalidInput(text("No file is selected"), hint=text("Select the files"))
    return ids
