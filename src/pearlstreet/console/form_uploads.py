"""Files uploaded with a form: they are stored as uploads and referred to by lines of the form's field `files`."""

from __future__ import annotations

import json
from dataclasses import replace

from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import uploads
from pearlstreet.console.page_request import FormFile, PageRequest, RawResponse
from pearlstreet.console.pages.org_scope import org_of

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def keep_file(request: PageRequest, org: str, file: FormFile) -> str:
    """Store a file as an upload and return its line for the form. Raises InvalidInput, Forbidden, TooLarge."""
    runtime, project = request.center.runtime, request.value("project") or None
    size, name = len(file.content), uploads.check_name(file.name)
    with runtime.uploads.begin() as reservation:
        place = uploads.find_place(request.store, request.actor, runtime, org, project, size, reservation)
        temporary = new_id("tmp", request.store.clock, request.store.rng)
        blob = uploads.keep_bytes(request.store, runtime, [file.content], temporary, place, reservation)
        row = uploads.record_upload(request.store, request.actor, runtime, place, name, blob)
    if name.endswith(ARCHIVES):
        return f'{{"upload": "{row["id"]}", "kind": "archive"}}  # {name}'
    return f"{row['id']}  # {name}"


def with_uploads(request: PageRequest) -> PageRequest:
    """Return the request with its files stored and replaced by lines of the field `files`."""
    if not request.files:
        return request
    kept = request.form.get("files", "").strip()
    return replace(
        request,
        form={**request.form, "files": "\n".join([*([kept] if kept else []), *_lines(request)])},
        files={},
    )


def upload(request: PageRequest) -> PageRequest | RawResponse:
    """Store the files of a form and return their lines, as JSON for the page's script, else as the changed request."""
    if not request.files:
        message = text("No file was chosen")
        raise InvalidInput(message, problems=[Problem("files", message)])
    if not request.value("live"):
        return with_uploads(request)
    try:
        lines = _lines(request)
    except PearlError as error:
        return RawResponse(json.dumps({"problem": request.say(error.message)}, ensure_ascii=False).encode())
    return RawResponse(json.dumps({"lines": lines}, ensure_ascii=False).encode())


def _lines(request: PageRequest) -> list[str]:
    return [keep_file(request, org_of(request).id, file) for file in request.files.values()]
