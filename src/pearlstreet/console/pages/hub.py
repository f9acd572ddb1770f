"""Pages of the hub: the list of repositories, and one repository with its card, files, history and lineage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import org_of
from pearlstreet.console.paging import page_number
from pearlstreet.hub.browsing import list_commits, list_folder, view_repo
from pearlstreet.hub.cards import card_tags
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.lineage import find_lineage
from pearlstreet.hub.model import CARD_FILE, RepoKind, Repository, Visibility
from pearlstreet.hub.repositories import create_repo, list_repos
from pearlstreet.hub.requests import request_access

CARD_SHOWN_BYTES = 64 << 10
FILES_SHOWN = 500
COMMITS_SHOWN = 20
KINDS = {
    RepoKind.MODEL: text("Model"),
    RepoKind.DATASET: text("Data set"),
    RepoKind.RECIPE: text("Recipe"),
}
VISIBILITIES = {
    Visibility.PRIVATE: text("private"),
    Visibility.ORGANISATIONS: text("shared with organisations"),
    Visibility.PUBLIC: text("public"),
}


def show(request: PageRequest) -> PageResponse:
    """Show the repositories that the visitor sees and that match the filter."""
    words, kind, number = (
        request.query.get("q", "")[:200].strip(),
        request.query.get("type", ""),
        page_number(request),
    )
    found = list_repos(
        request.store,
        request.actor,
        RepoKind(kind) if kind in set(RepoKind) else None,
        words=words.split()[:20],
        offset=(min(number, 1000) - 1) * PER_PAGE,
        limit=PER_PAGE + 1,
    )
    filters = {name: value for name, value in (("q", words), ("type", kind)) if value}
    return View(
        "hub.html",
        {
            "rows": [_row(repo) for repo in found[:PER_PAGE]],
            "next": dict(filters, page=number + 1) if len(found) > PER_PAGE else None,
            "words": words,
            "kind": kind,
            "kinds": [(one.value, said) for one, said in KINDS.items()],
            "visibilities": [(one.value, said) for one, said in VISIBILITIES.items()],
            "may_create": request.org is not None and "hub:write" in request.actor.all_scopes(),
        },
    )


def _row(repo: Repository) -> dict[str, object]:
    return {
        "repo": repo,
        "kind": KINDS[repo.kind],
        "visibility": VISIBILITIES[repo.visibility],
        "tags": card_tags(repo.card)[:6],
        "path": _path(repo),
    }


def _path(repo: Repository) -> str:
    return f"/hub/{repo.kind.value}/{quote(repo.full_name)}"


def create(request: PageRequest) -> PageResponse:
    """Create a repository of the organisation shown."""
    try:
        kind, visibility = RepoKind(request.value("type")), Visibility(request.value("visibility"))
    except ValueError:
        message = text("Choose type and visibility")
        raise InvalidInput(message, problems=[Problem("type", message)]) from None
    name = f"{org_of(request).slug}/{request.value('name').strip()}"
    made = create_repo(request.store, request.actor, kind, name, visibility)
    return Redirect(_path(made), text("{name} is created", name=made.full_name))


def show_one(request: PageRequest) -> PageResponse:
    """Show one repository at a revision."""
    kind, name = _named(request)
    rev, folder = request.query.get("rev", "main")[:200], request.query.get("folder", "")[:1000].strip("/")
    store, actor = request.store, request.actor
    view = view_repo(store, actor, kind, name, rev)
    entries = list_folder(store, actor, kind, name, rev, folder=folder, limit=FILES_SHOWN + 1)
    return View(
        "hub_repo.html",
        {
            "title": view.repo.full_name,
            "view": view,
            "kind": KINDS[kind],
            "visibility": VISIBILITIES[view.repo.visibility],
            "tags": card_tags(view.repo.card),
            "path": _path(view.repo),
            "rev": rev,
            "folder": folder,
            "above": folder.rpartition("/")[0],
            "entries": entries[:FILES_SHOWN],
            "more_files": len(entries) > FILES_SHOWN,
            "card": _card(request, kind, name, rev),
            "commits": list_commits(store, actor, kind, name, rev, limit=COMMITS_SHOWN),
            "lineage": find_lineage(store, actor, kind, name, rev),
            "endpoint": (request.center.public_url or request.origin) + "/hf",
            "written": name if kind is RepoKind.MODEL else f"{kind.value}s/{name}",
        },
    )


def _named(request: PageRequest) -> tuple[RepoKind, str]:
    params = request.path_params
    if params["repo_type"] not in set(RepoKind):
        raise NotFound(text("This hub has models, datasets and recipes"))
    return RepoKind(params["repo_type"]), f"{params['repo_org']}/{params['repo_name']}"


def _card(request: PageRequest, kind: RepoKind, name: str, rev: str) -> str:
    """Return the card without its front matter; it is shown as plain text, so nothing in it is interpreted."""
    entries = list_folder(request.store, request.actor, kind, name, rev, limit=FILES_SHOWN)
    file = next((one.file for one in entries if one.path == CARD_FILE), None)
    if file is None or not file.size_bytes:
        return ""
    length = min(file.size_bytes, CARD_SHOWN_BYTES)
    chunks: Iterator[bytes] = read_content(
        request.store, request.center.hub, file.sha256, start=0, length=length
    )
    said = b"".join(islice(chunks, 1000)).decode("utf-8", "replace")
    head, mark, body = said.partition("\n---")
    return body.partition("\n")[2].strip() if mark and head.startswith("---") else said.strip()


def ask(request: PageRequest) -> PageResponse:
    """Request the files of a gated repository."""
    kind, name = _named(request)
    request_access(request.store, request.actor, kind, name, request.value("note")[:500])
    return Redirect(request.path, text("Your request is stored"))


PAGES = (
    ConsolePage(
        "/hub",
        text("Models and data"),
        show,
        scope="hub:read",
        actions={"create": create},
        menu=MenuPlace(MenuGroup.WORK, 7, "folder", "d"),
    ),
    ConsolePage(
        "/hub/{repo_type}/{repo_org}/{repo_name}",
        text("Repository"),
        show_one,
        scope="hub:read",
        actions={"request": ask},
    ),
)
