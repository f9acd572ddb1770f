"""The search for repositories finds the same on SQLite and PostgreSQL, and only what its caller may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pearlstreet.hub.model import RepoKind, Visibility
from pearlstreet.hub.repositories import RepoFilter, RepoSort, list_repos
from pearlstreet.hub.search.index import index_repo, list_values
from pearlstreet.hub.tables import repos
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import orgs

ZH = {"license": "apache-2.0", "language": "zh", "pipeline_tag": "text-classification", "tags": ["情感分析"]}
EN = {"license": "mit", "language": ["en"], "pipeline_tag": "text-generation"}


def add_repo(
    tx: Tx,
    name: str,
    card: Mapping[str, Any] | None = None,
    body: str = "",
    *,
    org: str = "acme",
    public: bool = True,
    size: int = 0,
    kind: RepoKind = RepoKind.MODEL,
) -> None:
    """Insert a repository with its index."""
    repo_id = f"rep_{org}_{name}"
    visibility = Visibility.PUBLIC if public else Visibility.PRIVATE
    tx.execute(
        sa.insert(repos).values(
            id=repo_id, org_id=f"org_{org}", project_id="prj", kind=kind.value, name=name, name_key=name,
            visibility=visibility.value, gate="", jobs_only=False, card=dict(card or {}), words="",
            size_bytes=size, downloads=0, commits=1, created_by="x", created_us=0, updated_us=size,
        )
    )  # fmt: skip
    index_repo(tx, repo_id, name, card or {}, body)


def fill(store: Store) -> None:
    def write(tx: Tx) -> None:
        for org in ("acme", "beta"):
            facts = {"state": "active", "settings": {}, "created_us": 0}
            tx.execute(sa.insert(orgs).values(id=f"org_{org}", slug=org, name=org, **facts))
        add_repo(tx, "bert-sentiment", ZH, "一个中文情感分类模型。", size=10)
        add_repo(tx, "llama-tiny", EN, "A small model of a large family.", size=1 << 30)
        add_repo(tx, "model-notes", {}, "Notes.", kind=RepoKind.DATASET, size=5)
        add_repo(tx, "secret-bert", ZH, "情感", org="beta", public=False, size=7)

    store.write(write)


def test_words_and_chinese_find_the_same_on_every_database(store: Store) -> None:
    fill(store)

    def names(
        text: str = "", actor: Actor = SYSTEM, sort: RepoSort = RepoSort.RELEVANCE, **more: Any
    ) -> list[str]:
        found = list_repos(store, actor, RepoFilter(text=text, **more), sort=sort)
        return [repo.full_name.partition("/")[2] for repo in found]

    assert names("情感分类") == ["bert-sentiment"]
    assert set(names("情感")) == {"bert-sentiment", "secret-bert"}
    assert set(names("型")) == {"bert-sentiment"}, "the last character of a run"
    assert names("LLAM") == ["llama-tiny"] and names("llama sentiment") == []
    assert names("model") == ["model-notes", "llama-tiny"], "a name weighs more than the text"
    assert names("情大") == names("%") == names("'; --") == []
    assert names(licences=["MIT"]) == ["llama-tiny"]
    assert set(names(languages=["zh"], tasks=["text-classification"])) == {"bert-sentiment", "secret-bert"}
    assert names(tags=["license:mit"]) == names(size_bytes_min=1000) == ["llama-tiny"]
    assert names(kind=RepoKind.DATASET, size_bytes_max=9) == ["model-notes"]
    assert names(sort=RepoSort.SIZE)[0] == "llama-tiny" and names(sort=RepoSort.NAME)[0] == "bert-sentiment"
    stranger = Actor("nobody", "usr_x", orgs={"org_acme": OrgRole.MEMBER}, org_slugs={"org_acme": "acme"})
    assert names("bert", stranger) == ["bert-sentiment"]
    values = store.read(lambda tx: list_values(tx, stranger, "licence"))
    assert values == [("apache-2.0", 1), ("mit", 1)], "values of hidden repositories are not counted"
    assert store.read(lambda tx: list_values(tx, SYSTEM, "licence"))[0] == ("apache-2.0", 2)
