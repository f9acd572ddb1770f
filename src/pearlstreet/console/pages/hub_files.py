"""Pages of the files of a repository: its folders, one file, and the bytes of a file."""

from __future__ import annotations

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.console.hub_view import RATINGS, named_repo, open_repo, path_crumbs
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import Download, PageRequest, PageResponse, View
from pearlstreet.console.pages.hub_repo import REPO
from pearlstreet.hub.browsing import find_file, list_folder, open_file
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.downloads import record_download
from pearlstreet.hub.media import HEAD_BYTES, media_type
from pearlstreet.hub.model import CARD_FILE, MAIN
from pearlstreet.hub.preview.facts import format_count
from pearlstreet.hub.preview.service import preview_file

FILES_SHOWN = 500


def show_folder(request: PageRequest) -> PageResponse:
    """Show the files and folders of a folder."""
    at, folder = open_repo(request), request.query.get("folder", "")[:1000].strip("/")
    kind, name = named_repo(request)
    entries = list_folder(
        request.store, request.actor, kind, name, at.rev, folder=folder, limit=FILES_SHOWN + 1
    )
    return View(
        "hub_files.html",
        {
            "title": f"{folder} · {name}" if folder else name,
            "at": at,
            "folder": folder,
            "crumbs": path_crumbs(folder),
            "entries": entries[:FILES_SHOWN],
            "more_files": len(entries) > FILES_SHOWN,
        },
    )


def show_file(request: PageRequest) -> PageResponse:
    """Show one file, by default the card, with what it holds."""
    at, path = open_repo(request), request.query.get("path", CARD_FILE)[:2000]
    kind, name = named_repo(request)
    entry = find_file(request.store, request.actor, kind, name, at.rev, path)
    preview, problem = None, None
    if at.access.download:
        try:
            preview = preview_file(
                request.store, request.center.hub, request.actor, kind, name, at.commit.id, path
            ).facts
        except Unavailable as error:
            problem = error
    return View(
        "hub_file.html",
        {
            "title": f"{path} · {name}",
            "at": at,
            "entry": entry,
            "crumbs": path_crumbs(path),
            "preview": preview,
            "problem": problem,
            "ratings": RATINGS,
            "count": format_count,
        },
    )


def send_file(request: PageRequest) -> PageResponse:
    """Send the bytes of a file: images and sound to be shown, everything else to be saved."""
    kind, name = named_repo(request)
    store, hub = request.store, request.center.hub
    rev, path = request.query.get("rev", MAIN)[:200], request.query.get("path", CARD_FILE)[:2000]
    file = open_file(store, request.actor, kind, name, rev, path)
    entry = file.entry
    head = b"".join(read_content(store, hub, entry.sha256, start=0, length=min(HEAD_BYTES, entry.size_bytes)))
    shown = None if request.query.get("save") else media_type(head)
    record_download(store, request.actor, file.repo, file.commit_id, entry.size_bytes)
    return Download(
        path,
        read_content(store, hub, entry.sha256),
        shown or "application/octet-stream",
        is_shown=shown is not None,
    )


PAGES = (
    ConsolePage(f"{REPO}/files", text("Files"), show_folder, scope="hub:read"),
    ConsolePage(f"{REPO}/file", text("File"), show_file, scope="hub:read"),
    ConsolePage(f"{REPO}/raw", text("File"), send_file, scope="hub:read"),
)
