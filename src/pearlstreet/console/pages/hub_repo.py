"""Pages of one repository: its card with the facts of its front matter, its history and its lineage."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.hub_snippets import snippets
from pearlstreet.console.hub_view import (
    RATINGS,
    asked_rev,
    named_repo,
    open_repo,
    shown_tags,
    side_facts,
    view_card,
)
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.hub.browsing import list_commits
from pearlstreet.hub.lineage import find_lineage
from pearlstreet.hub.model import RefKind
from pearlstreet.hub.preview.facts import count_parameters, format_count, list_pickles
from pearlstreet.hub.requests import request_access

REPO = "/hub/{repo_type}/{repo_org}/{repo_name}"


def show(request: PageRequest) -> PageResponse:
    """Show the card of a repository at a revision."""
    at = open_repo(request)
    card = view_card(request, at.repo, at.rev)
    return View(
        "hub_repo.html",
        {
            "title": at.repo.full_name,
            "at": at,
            "card": card,
            "can_edit": at.access.write
            and any(one.name == at.rev and one.kind is RefKind.BRANCH for one in at.refs),
            "tags": shown_tags(card.facts),
            "beside": side_facts(card.facts),
            "parameters": count_parameters(at.repo),
            "count": format_count,
            "pickles": list_pickles(at.repo),
            "ratings": RATINGS,
            "snippets": snippets(at.repo, at.rev, request.center.public_url or request.origin),
        },
    )


def ask(request: PageRequest) -> PageResponse:
    """Request the files of a gated repository."""
    kind, name = named_repo(request)
    request_access(request.store, request.actor, kind, name, request.value("note")[:500])
    return Redirect(request.path, text("Your request is stored"))


def show_history(request: PageRequest) -> PageResponse:
    """Show branches, tags and the commits that led to a revision."""
    at = open_repo(request)
    said = request.query.get("before", "")
    before = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None
    found = list_commits(
        request.store,
        request.actor,
        at.repo.kind,
        at.repo.full_name,
        at.rev,
        before=before,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    more = {"rev": at.rev, "before": shown[-1].number} if len(found) > PER_PAGE else None
    return View("hub_history.html", {"title": at.repo.full_name, "at": at, "commits": shown, "next": more})


def show_lineage(request: PageRequest) -> PageResponse:
    """Show what a revision was made from, and what was made from it."""
    at, (kind, name) = open_repo(request), named_repo(request)
    lineage = find_lineage(request.store, request.actor, kind, name, asked_rev(request))
    return View("hub_lineage.html", {"title": at.repo.full_name, "at": at, "lineage": lineage})


PAGES = (
    ConsolePage(REPO, text("Repository"), show, scope="hub:read", actions={"request": ask}),
    ConsolePage(f"{REPO}/history", text("History"), show_history, scope="hub:read"),
    ConsolePage(f"{REPO}/lineage", text("Lineage"), show_lineage, scope="hub:read"),
)
