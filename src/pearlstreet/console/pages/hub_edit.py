"""Pages that change a repository: files sent by the browser, the card edited, and what one commit changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.text import Text, plural, text
from pearlstreet.console.hub_view import named_repo, open_repo, written_name
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, RawResponse, Redirect, View
from pearlstreet.console.pages.hub_repo import REPO
from pearlstreet.hub.browsing import read_card_file
from pearlstreet.hub.changes import list_changes
from pearlstreet.hub.model import CARD_FILE, MAIN, RefKind, TreeEntry
from pearlstreet.hub.names import check_sha256
from pearlstreet.hub.uploads import commit_uploads, keep_upload

FILE_BYTES_MAX = 128 << 20
"""Largest file that the browser sends; larger ones go by the clients."""
FILES_MAX = 2000
CARD_TEMPLATE = """---
license: apache-2.0
language: [zh, en]
tags: []
---

# {name}

"""


def show_upload(request: PageRequest) -> PageResponse:
    """Show the form that sends files to a branch."""
    at = open_repo(request)
    branches = [one.name for one in at.refs if one.kind is RefKind.BRANCH]
    return View(
        "hub_upload.html",
        {
            "title": at.repo.full_name,
            "at": at,
            "branch_options": [(name, name) for name in branches],
            "written": written_name(at.repo),
            "branch": at.rev if at.rev in branches else MAIN,
            "folder": request.value("folder")[:1000].strip("/"),
            "file_max": FILE_BYTES_MAX,
        },
    )


def stage(request: PageRequest) -> PageResponse:
    """Keep one file for the page's script, which commits all of them afterwards."""
    try:
        entry = _keep(request, request.value("path"))
    except PearlError as error:
        return RawResponse(json.dumps({"problem": request.say(error.message)}, ensure_ascii=False).encode())
    facts = {"path": entry.path, "sha256": entry.sha256, "size": entry.size_bytes, "git": entry.git_oid}
    return RawResponse(json.dumps(facts, ensure_ascii=False).encode())


def _keep(request: PageRequest, path: str) -> TreeEntry:
    kind, name = named_repo(request)
    file = next(iter(request.files.values()), None)
    if file is None:
        raise _wrong("upload", text("No file was chosen"))
    if len(file.content) > FILE_BYTES_MAX:
        raise _wrong("upload", text("Files of this size are sent with pearl hub upload"))
    path = path or "/".join(part for part in (request.value("folder").strip("/"), file.name) if part)
    return keep_upload(request.store, request.center.hub, request.actor, kind, name, path, file.content)


def commit(request: PageRequest) -> PageResponse:
    """Commit the files that were kept, and the one that the form holds."""
    files = {entry.path: entry for entry in _staged(request.value("staged"))}
    if request.files:
        entry = _keep(request, "")
        files[entry.path] = entry
    if not files:
        raise _wrong("upload", text("No file was chosen"))
    title = request.value("title")[:500] or request.say(
        plural("Add {count} file", "Add {count} files", count=len(files))
    )
    return _commit(request, files, title)


def _staged(said: str) -> list[TreeEntry]:
    """Return the kept files that the script names; `create_commit` checks that they were sent here."""
    try:
        rows = json.loads(said or "[]")
        found = [
            TreeEntry(str(row["path"]), check_sha256(row["sha256"]), int(row["size"]), str(row["git"])[:40])
            for row in rows[:FILES_MAX]
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _wrong("staged", text("The list of files cannot be read")) from None
    return found


def _commit(
    request: PageRequest, files: Mapping[str, TreeEntry], title: str, parent: str | None = None
) -> Redirect:
    kind, name = named_repo(request)
    branch = request.value("branch", MAIN)
    commit_uploads(
        request.store,
        request.center.hub,
        request.actor,
        kind,
        name,
        branch,
        files,
        title=title,
        parent=parent,
    )
    place = request.path.rpartition("/")[0]
    to = place if set(files) == {CARD_FILE} else f"{place}/files"
    notice = plural("{count} file is committed", "{count} files are committed", count=len(files))
    return Redirect(to + ("" if branch == MAIN else "?" + urlencode({"rev": branch})), notice)


def _wrong(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])


def show_card(request: PageRequest) -> PageResponse:
    """Show the form that edits the card of a branch."""
    at = open_repo(request)
    content = read_card_file(request.store, request.center.hub, request.actor, at.repo, at.rev)
    card = content.decode("utf-8", "replace") or CARD_TEMPLATE.format(
        name=at.repo.full_name.partition("/")[2]
    )
    return View("hub_edit.html", {"title": at.repo.full_name, "at": at, "card": card})


def save_card(request: PageRequest) -> PageResponse:
    """Commit the card; a branch that moved meanwhile is not overwritten."""
    kind, name = named_repo(request)
    content = request.form.get("card", "").replace("\r\n", "\n").encode()
    entry = keep_upload(request.store, request.center.hub, request.actor, kind, name, CARD_FILE, content)
    title = request.value("title")[:500] or request.say(text("Edit the card"))
    return _commit(request, {CARD_FILE: entry}, title, request.value("parent") or None)


def show_commit(request: PageRequest) -> PageResponse:
    """Show what a commit changed."""
    at = open_repo(request)
    kind, name = named_repo(request)
    changes = list_changes(
        request.store, request.center.hub, request.actor, kind, name, at.rev, with_lines=at.access.download
    )
    return View("hub_commit.html", {"title": at.repo.full_name, "at": at, "changes": changes})


PAGES = (
    ConsolePage(
        f"{REPO}/upload",
        text("Add files"),
        show_upload,
        scope="hub:write",
        actions={"stage": stage, "commit": commit},
        upload_bytes_max=FILE_BYTES_MAX + (1 << 20),
    ),
    ConsolePage(
        f"{REPO}/edit", text("Edit the card"), show_card, scope="hub:write", actions={"save": save_card}
    ),
    ConsolePage(f"{REPO}/commit", text("Commit"), show_commit, scope="hub:read"),
)
