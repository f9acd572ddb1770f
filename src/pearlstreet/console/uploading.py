"""Files that come with a form: kept as uploads, and named in it by a line."""

from __future__ import annotations

import json
from dataclasses import replace

from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import uploads
from pearlstreet.console.page_request import Ask, Data, File
from pearlstreet.console.pages.org_scope import org_of

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def keep_file(ask: Ask, org: str, file: File) -> str:
    """Keep a file for an organisation and answer its line in the form. Raises InvalidInput, Forbidden, TooLarge."""
    runtime, project = ask.center.runtime, ask.value("project") or None
    size, name = len(file.content), uploads.check_name(file.name)
    with runtime.uploads.begin() as reservation:
        place = uploads.find_place(ask.store, ask.actor, runtime, org, project, size, reservation)
        temporary = new_id("tmp", ask.store.clock, ask.store.rng)
        blob = uploads.keep_bytes(ask.store, runtime, [file.content], temporary, place, reservation)
        row = uploads.record_upload(ask.store, ask.actor, runtime, place, name, blob)
    if name.endswith(ARCHIVES):
        return f'{{"upload": "{row["id"]}", "kind": "archive"}}  # {name}'
    return f"{row['id']}  # {name}"


def with_uploads(ask: Ask) -> Ask:
    """Files that came with the form become lines of its field `files`."""
    if not ask.files:
        return ask
    kept = ask.form.get("files", "").strip()
    return replace(
        ask, form={**ask.form, "files": "\n".join([*([kept] if kept else []), *_lines(ask)])}, files={}
    )


def upload(ask: Ask) -> Ask | Data:
    """Keep the files that came: for the page's script the lines that name them, else the form with them in it."""
    if not ask.files:
        message = text("No file was chosen")
        raise InvalidInput(message, problems=[Problem("files", message)])
    if not ask.value("live"):
        return with_uploads(ask)
    try:
        lines = _lines(ask)
    except PearlError as error:
        return Data(json.dumps({"problem": ask.say(error.message)}, ensure_ascii=False).encode())
    return Data(json.dumps({"lines": lines}, ensure_ascii=False).encode())


def _lines(ask: Ask) -> list[str]:
    return [keep_file(ask, org_of(ask).id, file) for file in ask.files.values()]
