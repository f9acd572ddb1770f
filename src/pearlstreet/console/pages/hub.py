"""The page of the hub: search for repositories, and create one."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.hub_view import KINDS, VISIBILITIES, repo_path, shown_tags
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import org_of
from pearlstreet.console.paging import page_number
from pearlstreet.hub.model import RepoKind, Repository, Visibility
from pearlstreet.hub.preview.facts import count_parameters, format_count, list_pickles
from pearlstreet.hub.repositories import RepoFilter, RepoSort, create_repo, list_repos
from pearlstreet.hub.search.index import FACTS, list_values

FILTERS = ("q", "type", "task", "language", "licence", "size", "tag", "sort")
MIB, GIB = 1 << 20, 1 << 30
SIZES: Mapping[str, tuple[int | None, int | None]] = {
    "small": (None, 100 * MIB),
    "medium": (100 * MIB, 5 * GIB),
    "large": (5 * GIB, 50 * GIB),
    "huge": (50 * GIB, None),
}
SIZE_LABELS = {
    "small": text("up to 100 MiB"),
    "medium": text("100 MiB to 5 GiB"),
    "large": text("5 to 50 GiB"),
    "huge": text("more than 50 GiB"),
}
SORTS = (
    (RepoSort.UPDATED.value, text("last changed first")),
    (RepoSort.DOWNLOADS.value, text("most downloaded first")),
    (RepoSort.SIZE.value, text("largest first")),
    (RepoSort.NAME.value, text("by name")),
)


def show(request: PageRequest) -> PageResponse:
    """Show the repositories that the visitor sees and that match the filters."""
    said = {name: request.query.get(name, "")[:200].strip() for name in FILTERS}
    number, store, actor = page_number(request), request.store, request.actor
    wanted = RepoFilter(
        kind=RepoKind(said["type"]) if said["type"] in set(RepoKind) else None,
        text=said["q"],
        tasks=_given(said["task"]),
        languages=_given(said["language"]),
        licences=_given(said["licence"]),
        tags=_given(said["tag"]),
        size_bytes_min=SIZES.get(said["size"], (None, None))[0],
        size_bytes_max=SIZES.get(said["size"], (None, None))[1],
    )
    found = list_repos(
        store,
        actor,
        wanted,
        sort=RepoSort(said["sort"]) if said["sort"] in set(RepoSort) else RepoSort.RELEVANCE,
        offset=(min(number, 1000) - 1) * PER_PAGE,
        limit=PER_PAGE + 1,
    )
    values = store.read(lambda tx: {name: list_values(tx, actor, name) for name in FACTS})
    filters = {name: value for name, value in said.items() if value}
    return View(
        "hub.html",
        {
            "rows": [_row(repo) for repo in found[:PER_PAGE]],
            "next": dict(filters, page=number + 1) if len(found) > PER_PAGE else None,
            "said": said,
            "has_filters": bool(filters),
            "kinds": [(one.value, label) for one, label in KINDS.items()],
            "values": values,
            "sizes": [(code, SIZE_LABELS[code]) for code in SIZES],
            "sorts": SORTS,
            "visibilities": [(one.value, label) for one, label in VISIBILITIES.items()],
            "count": format_count,
            "may_create": request.org is not None and "hub:write" in request.actor.all_scopes(),
        },
    )


def _given(value: str) -> list[str]:
    return [value] if value else []


def _row(repo: Repository) -> dict[str, object]:
    return {
        "repo": repo,
        "kind": KINDS[repo.kind],
        "visibility": VISIBILITIES[repo.visibility],
        "tags": shown_tags(repo.card)[:6],
        "path": repo_path(repo),
        "task": str(repo.card.get("pipeline_tag") or ""),
        "parameters": count_parameters(repo),
        "has_pickles": any(one["rating"] == "dangerous" for one in list_pickles(repo)),
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
