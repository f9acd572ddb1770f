"""What the pages of the hub share: labels, the repository that an address names, and its card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from markupsafe import Markup

from pearlstreet.base.errors import InvalidInput, NotFound, PearlError
from pearlstreet.base.text import Text, text
from pearlstreet.console.card_markdown import CardLinks, render_card
from pearlstreet.console.page_request import PageRequest
from pearlstreet.hub.browsing import read_card_file, view_repo
from pearlstreet.hub.cards import card_tags, read_card, split_card
from pearlstreet.hub.model import MAIN, Access, Commit, Ref, RepoKind, Repository, Visibility

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
RATINGS = {
    "expected": (text("expected"), "quiet"),
    "unknown": (text("code of other packages"), "wait"),
    "dangerous": (text("dangerous"), "bad"),
}
"""Rating of what a pickle imports → label and tone."""
CARD_SHOWN = 128 << 10
"""Characters of a card that are shown."""
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n.*?\n---[ \t]*(\r?\n|\Z)", re.S)
FACTS = (
    ("license", text("Licence")),
    ("pipeline_tag", text("Task")),
    ("task_categories", text("Task")),
    ("language", text("Language")),
    ("library_name", text("Library")),
    ("base_model", text("Base model")),
    ("datasets", text("Trained on")),
)
"""Entries of front matter that stand beside the card."""


@dataclass(frozen=True, slots=True)
class CardView:
    """A card to show. `problem`: what is wrong with its front matter."""

    html: Markup
    facts: Mapping[str, object] = field(default_factory=dict)
    problem: PearlError | None = None
    is_cut: bool = False
    """Whether the card is longer than what is shown."""


@dataclass(frozen=True, slots=True)
class RepoPage:
    """What every page of one repository shows."""

    repo: Repository
    access: Access
    commit: Commit
    refs: Sequence[Ref]
    rev: str
    path: str
    """Path of the repository in the console."""
    kind: Text
    visibility: Text
    tabs: Sequence[tuple[str, str, Text]]
    """Name, address and label."""


def repo_path(repo: Repository) -> str:
    """Return the path of a repository in the console."""
    return f"/hub/{repo.kind.value}/{quote(repo.full_name)}"


def named_repo(request: PageRequest) -> tuple[RepoKind, str]:
    """Return type and full name of the repository in the address. Raises NotFound for another type."""
    params = request.path_params
    if params["repo_type"] not in set(RepoKind):
        raise NotFound(text("This hub has models, datasets and recipes"))
    return RepoKind(params["repo_type"]), f"{params['repo_org']}/{params['repo_name']}"


def asked_rev(request: PageRequest) -> str:
    """Return the branch, tag or commit in the address."""
    return request.query.get("rev", "")[:200] or MAIN


def open_repo(request: PageRequest, rev: str | None = None) -> RepoPage:
    """Return the repository of an address at a revision, by default the one that the address names.

    Raises RepoNotFound, RevisionNotFound.
    """
    kind, name = named_repo(request)
    rev = asked_rev(request) if rev is None else rev
    view = view_repo(request.store, request.actor, kind, name, rev)
    path = repo_path(view.repo)
    query = "" if rev == MAIN else "?" + urlencode({"rev": rev})
    tabs = [
        ("card", path + query, text("Card")),
        ("files", f"{path}/files{query}", text("Files")),
        ("history", f"{path}/history{query}", text("History")),
        ("lineage", f"{path}/lineage{query}", text("Lineage")),
    ]
    if view.repo.jobs_only:
        tabs.append(("approvals", f"{path}/approvals", text("Use in jobs")))
    if view.access.admin:
        tabs.append(("settings", f"{path}/settings", text("Settings")))
    return RepoPage(
        view.repo,
        view.access,
        view.commit,
        view.refs,
        rev,
        path,
        KINDS[kind],
        VISIBILITIES[view.repo.visibility],
        tabs,
    )


def view_card(request: PageRequest, repo: Repository, rev: str) -> CardView:
    """Return the card of a revision; its Markdown is shown even if its front matter is wrong."""
    content = read_card_file(request.store, request.center.hub, request.actor, repo, rev)
    links, problem = CardLinks(repo_path(repo), rev), None
    facts: Mapping[str, object] = {}
    try:
        body = split_card(content).body
        facts = read_card(content)
    except InvalidInput as error:
        problem = error
        body = _FRONT.sub("", content.decode("utf-8", "replace"), count=1)
    return CardView(render_card(body[:CARD_SHOWN], links), facts, problem, len(body) > CARD_SHOWN)


def written_name(repo: Repository) -> str:
    """Return the name of a repository as commands take it."""
    return repo.full_name if repo.kind is RepoKind.MODEL else f"{repo.kind.value}s/{repo.full_name}"


def path_crumbs(path: str) -> list[tuple[str, str]]:
    """Return the names of a path's folders and of its end, each with the path up to it."""
    parts = path.split("/") if path else []
    return [(part, "/".join(parts[: at + 1])) for at, part in enumerate(parts)]


def side_facts(card: Mapping[str, object]) -> list[tuple[Text, list[str]]]:
    """Return labels and values of front matter that are shown beside the card."""
    found: list[tuple[Text, list[str]]] = []
    for name, label in FACTS:
        value = card.get(name)
        values = [str(one)[:100] for one in (value if isinstance(value, list) else [value]) if one]
        if values:
            found.append((label, values[:20]))
    return found


def shown_tags(card: Mapping[str, object]) -> list[str]:
    """Return the tags of a card without those that `side_facts` shows."""
    beside = {value for _, values in side_facts(card) for value in values}
    return [tag for tag in card_tags(card) if tag not in beside and not tag.startswith("license:")]
