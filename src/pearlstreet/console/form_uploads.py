"""Files uploaded with a form: they are stored as uploads and referred to by lines of the form's field `files`."""

from __future__ import annotations

import json
from dataclasses import replace

from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import text
from pearlstreet.console.page_request import FormFile, PageRequest, RawResponse
from pearlstreet.console.pages.org_scope import org_of
from pearlstreet.services.storage import StorageService, check_name

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def keep_file(request: PageRequest, storage: StorageService, org: str, file: FormFile) -> str:
    """Store a file as an upload and return its line for the form. Raises InvalidInput, Forbidden, TooLarge."""
    project = request.value("project") or None
    size, name = len(file.content), check_name(file.name)
    with storage.begin_upload() as reservation:
        place = storage.find_place(request.actor, org, project, size, reservation)
        temporary = new_id("tmp", request.store.clock, request.store.rng)
        blob = storage.keep_bytes([file.content], temporary, place, reservation)
        row = storage.record_upload(request.actor, place, name, blob)
    if name.endswith(ARCHIVES):
        return f'{{"upload": "{row["id"]}", "kind": "archive"}}  # {name}'
    return f"{row['id']}  # {name}"


def with_uploads(request: PageRequest, storage: StorageService) -> PageRequest:
    """Return the request with its files stored and replaced by lines of the field `files`."""
    if not request.files:
        return request
    kept = request.form.get("files", "").strip()
    return replace(
        request,
        form={**request.form, "files": "\n".join([*([kept] if kept else []), *_lines(request, storage)])},
        files={},
    )


def upload(request: PageRequest, storage: StorageService) -> PageRequest | RawResponse:
    """Store the files of a form and return their lines, as JSON for the page's script, else as the changed request."""
    if not request.files:
        message = text("No file was chosen")
        raise InvalidInput(message, problems=[Problem("files", message)])
    if not request.value("live"):
        return with_uploads(request, storage)
    try:
        lines = _lines(request, storage)
    except PearlError as error:
        return RawResponse(json.dumps({"problem": request.say(error.message)}, ensure_ascii=False).encode())
    return RawResponse(json.dumps({"lines": lines}, ensure_ascii=False).encode())


def _lines(request: PageRequest, storage: StorageService) -> list[str]:
    return [keep_file(request, storage, org_of(request).id, file) for file in request.files.values()]
