"""The page of the hub: search for repositories, and create one."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.hub_view import KINDS, VISIBILITIES, repo_path
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import org_of
from pearlstreet.console.paging import page_number
from pearlstreet.hub.cards import card_tags
from pearlstreet.hub.model import RepoKind, Repository, Visibility
from pearlstreet.hub.repositories import create_repo, list_repos


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
        "path": repo_path(repo),
    }


def create(request: PageRequest) -> PageResponse:
    """Create a repository of the organisation shown."""
    try:
        kind, visibility = RepoKind(request.value("type")), Visibility(request.value("visibility"))
    except ValueError:
        message = text("Choose type and visibility")
        raise InvalidInput(message, problems=[Problem("type", message)]) from None
    name = f"{org_of(request).slug}/{request.value('name').strip()}"
    made = create_repo(request.store, request.actor, kind, name, visibility)
    return Redirect(repo_path(made), text("{name} is created", name=made.full_name))


PAGES = (
    ConsolePage(
        "/hub",
        text("Models and data"),
        show,
        scope="hub:read",
        actions={"create": create},
        menu=MenuPlace(MenuGroup.WORK, 7, "folder", "d"),
    ),
)
