"""Files that come with a form: kept as uploads, and named in it by a line."""

from __future__ import annotations

from pearlstreet.base.ids import new_id
from pearlstreet.compute.jobs import uploads
from pearlstreet.console.asking import Ask, File

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def keep_file(ask: Ask, org: str, file: File) -> str:
    """Keep a file for an organisation and answer its line in the form. Raises InvalidInput, Forbidden, TooLarge."""
    org_id = uploads.check_may_upload(ask.store, ask.actor, org)
    name = uploads.check_name(file.name)
    temporary = new_id("tmp", ask.store.clock, ask.store.rng)
    blob = uploads.keep_bytes(ask.center.runtime, [file.content], temporary)
    row = uploads.record_upload(ask.store, ask.actor, org_id, name, blob)
    if name.endswith(ARCHIVES):
        return f'{{"upload": "{row["id"]}", "kind": "archive"}}  # {name}'
    return f"{row['id']}  # {name}"
