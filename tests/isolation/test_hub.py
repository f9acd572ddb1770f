"""No route of the hub shows or changes anything of another tenant, whatever of the other's it names.

Walks the table of routes; a new one fails here until its parts have values in `PARTS` and its body stands in `BODIES`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from pearlstreet.hub.tables import commits, repo_contents, repos, staged, xorb_grants
from pearlstreet.hubapi.app import ROUTES, create_hub_api
from tests.api.world import Browser
from tests.isolation.tenants import Tenant
from tests.isolation.world import Isolation, leaked

ROLES = ("owner", "member", "viewer")
ABOUT_THE_CALLER = frozenset({"api/whoami-v2", "api/validate-yaml", "api/{kind}"})
"""Routes that answer everybody, about the caller or its own repositories."""
SHOWS_NOTHING = frozenset(
    {
        "api/validate-yaml",
        "api/{kind}/{org}/{name}/auth-check",
        "api/{kind}/{org}/{name}/auth-check/{right}",
        "api/{kind}/{org}/{name}/xet-{right}-token/{rev}",
        "api/{kind}/{org}/{name}/tree/{rev}/*",
    }
)
"""Reads that answer whether, and not what; and the list of a folder, since the tenants' files are in none."""
BY_TOKEN = ("lfs/", "xet/")
"""Routes that a link or token opens, asked in tests of their own."""


@dataclass(frozen=True)
class Named:
    """What of a tenant requests can name."""

    tenant: Tenant
    repo: str
    commit: str
    contents: tuple[str, ...]
    xorb: str

    @property
    def values(self) -> dict[str, list[str]]:
        """Values of the parts of paths."""
        marker = self.tenant.marker
        return {
            "kind": ["models"], "org": [self.tenant.slug], "name": [f"{marker}-model"], "rev": ["main", self.commit],
            "ref": ["main", f"{marker}-branch"], "right": ["read", "write"], "state": ["pending", "accepted"],
            "path": [f"{marker}.bin"],
        }  # fmt: skip


def named(isolation: Isolation, tenant: Tenant) -> Named:
    """What a tenant has in the hub."""

    def query(tx: Any) -> Named:
        of_repo = tx.first(sa.select(repos).where(repos.c.org_id == tenant.org_id))
        rows = tx.rows(sa.select(repo_contents).where(repo_contents.c.repo_id == of_repo["id"]))
        rows += tx.rows(sa.select(staged).where(staged.c.repo_id == of_repo["id"]))
        commit = (
            sa.select(commits.c.id)
            .where(commits.c.repo_id == of_repo["id"])
            .order_by(commits.c.number.desc())
        )
        xorb = sa.select(xorb_grants.c.xorb_hash).where(xorb_grants.c.repo_id == of_repo["id"])
        shas = tuple(row["sha256"] for row in rows)
        return Named(tenant, f"{tenant.slug}/{of_repo['name']}", tx.scalar(commit), shas, tx.scalar(xorb))

    return isolation.world.center.store.read(query)


def bodies(method: str, path: str, of: Named, by: Named) -> list[dict[str, Any]]:
    """Right bodies of a route that name the things of one tenant. Raises KeyError for a route that is not listed."""
    marker, (org, name) = of.tenant.marker, of.repo.split("/")
    user = f"{by.tenant.marker}-owner"
    objects = [{"oid": sha256, "size": 1} for sha256 in of.contents]
    stolen = {"path": "stolen.bin", "algo": "sha256"}
    lines = [{"key": "header", "value": {"summary": "x"}}]
    known: Mapping[str, list[Any]] = {
        "POST api/repos/create": [{"organization": org, "name": name}, {"organization": org, "name": "new"}],
        "DELETE api/repos/delete": [{"organization": org, "name": name}],
        "POST api/repos/move": [
            {"fromRepo": of.repo, "toRepo": f"{org}/other"},
            {"fromRepo": of.repo, "toRepo": f"{by.tenant.slug}/taken"},
            {"fromRepo": by.repo, "toRepo": f"{org}/given"},
        ],
        "POST api/validate-yaml": [{"content": "---\nlicense: mit\n---\n", "repoType": "model"}],
        "PUT settings": [{"visibility": "public", "gated": False}],
        "POST paths-info/{rev}": [{"paths": [f"{marker}.bin"], "expand": True}],
        "POST branch/{ref}": [{"startingPoint": of.commit}],
        "DELETE branch/{ref}": [{}],
        "POST tag/{ref}": [{"tag": "v9"}],
        "DELETE tag/{ref}": [{}],
        "POST super-squash/{ref}": [{"message": "gone"}],
        "POST preupload/{rev}": [{"files": [{"path": f"{marker}.bin", "size": 1, "sample": ""}]}],
        "POST commit/{rev}": [
            [*lines, {"key": "file", "value": {"path": "x", "content": "", "encoding": "base64"}}],
            [*lines, {"key": "deletedFile", "value": {"path": f"{marker}.bin"}}],
            *([*lines, {"key": "lfsFile", "value": stolen | {"oid": sha256}}] for sha256 in of.contents),
        ],
        "PUT history": [
            [
                {"key": "history", "value": {"version": 1}},
                {"key": "commit", "value": {"id": "a", "author": "x", "at": "2026-01-01T00:00:00Z"}},
                *(
                    {"key": "lfsFile", "value": stolen | {"oid": sha256, "size": 1}}
                    for sha256 in of.contents[:1]
                ),
                {"key": "ref", "value": {"kind": "branch", "name": "main", "commit": "a"}},
            ]
        ],
        "POST user-access-request/handle": [{"user": user, "status": "accepted"}],
        "POST user-access-request/grant": [{"user": user}],
        "POST user-access-request": [{"note": "please"}],
        "POST {kind}/{org}/{name}.git/info/lfs/objects/batch": [
            {"operation": operation, "objects": objects} for operation in ("upload", "download")
        ],
    }
    found: list[Any] = known[f"{method} {path.removeprefix('api/{kind}/{org}/{name}/')}"]
    return found


def paths_of(pattern: str, of: Named) -> Iterator[str]:
    """The route with the things of a tenant. Raises KeyError for a part without values."""
    pattern = pattern.replace("*", "{path}")
    names = re.findall(r"\{(\w+)\}", pattern)
    for values in itertools.product(*(of.values[name] for name in names)):
        path = pattern
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"{{{name}}}", value)
        yield "/hf/" + path


ASKED = [(method, path) for method, path, _ in ROUTES if not path.startswith(BY_TOKEN)]


@pytest.fixture(scope="module")
def hub(isolation: Isolation) -> Iterator[Browser]:
    """The hub of the isolation world."""
    browser = Browser(create_hub_api(isolation.world.center))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def contents(isolation: Isolation) -> frozenset[str]:
    """Everything that only alder may see."""
    return isolation.contents(isolation.alder)


def _send(hub: Browser, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
    if isinstance(body, list):
        sent: dict[str, Any] = {"content": "\n".join(json.dumps(line) for line in body).encode()}
    else:
        sent = {} if body is None else {"json": body}
    return hub.send(method, path, headers={"authorization": f"Bearer {key}"}, **sent)


@pytest.mark.parametrize(
    ("method", "pattern"), ASKED, ids=lambda value: value.replace("api/{kind}/{org}/{name}/", "")
)
def test_a_route_of_the_hub_shows_and_changes_nothing_of_another(
    isolation: Isolation, hub: Browser, contents: frozenset[str], method: str, pattern: str
) -> None:
    alder, birch = named(isolation, isolation.alder), named(isolation, isolation.birch)
    asked = [None] if method == "GET" else bodies(method, pattern, alder, birch)
    before = isolation.dump(isolation.alder)
    for role in ROLES:
        for path, body in itertools.product(paths_of(pattern, alder), asked):
            answer = _send(hub, method, path, isolation.birch.keys[role], body)
            assert answer.status_code < 500, answer.text
            if pattern not in ABOUT_THE_CALLER:
                assert answer.status_code in (403, 404, 409), (role, path, body, answer.text)
                assert method != "GET" or answer.headers["x-error-code"] == "RepoNotFound"
            said = "\n".join((*answer.headers.values(), answer.text))
            assert not leaked(said, contents, f"{path} {body} {alder.repo}"), (role, path, body)
    assert isolation.dump(isolation.alder) == before
    if method == "GET":
        shown = "".join(_without(hub, path, isolation.alder) for path in paths_of(pattern, alder))
        assert bool(leaked(shown, contents)) is (pattern not in SHOWS_NOTHING), shown


def _without(hub: Browser, path: str, tenant: Tenant) -> str:
    """What a route answers to its own tenant, without what the request named."""
    answer = _send(hub, "GET", path, tenant.keys["owner"])
    said = answer.text if answer.status_code == 200 else ""
    for word in path.split("/"):
        if len(word) > 5:
            said = said.replace(word, "")
    return said


def test_a_link_of_birch_takes_and_tells_nothing_of_alder(
    isolation: Isolation, hub: Browser, contents: frozenset[str]
) -> None:
    alder, birch = named(isolation, isolation.alder), named(isolation, isolation.birch)
    before = isolation.dump(isolation.alder)
    key = isolation.birch.keys["owner"]
    batch = {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{"oid": alder.contents[0], "size": 1}],
    }
    found = _send(hub, "POST", f"/hf/{birch.repo}.git/info/lfs/objects/batch", key, batch).json()
    link = found["objects"][0]["actions"]["upload"]["href"].partition("/hf")[2]
    assert hub.send("PUT", "/hf" + link, content=b"x").status_code == 422
    assert hub.send("POST", "/hf" + link + "/verify").status_code == 404, "alder's file must look absent"
    token = _send(hub, "GET", f"/hf/api/models/{birch.repo}/xet-write-token/main", key).json()["accessToken"]
    for method, pattern, _ in ROUTES:
        if not pattern.startswith("xet/"):
            continue
        path = "/hf/" + pattern.format(prefix="default", hash=alder.xorb, version="v1", token=token)
        answer = _send(hub, method, path, token)
        assert answer.status_code in (401, 404, 422), (path, answer.text)
        said = "\n".join((*answer.headers.values(), answer.text))
        assert not leaked(said, contents, path), path
    assert isolation.dump(isolation.alder) == before


def test_a_link_works_only_for_the_repository_it_names(isolation: Isolation, hub: Browser) -> None:
    """Facts of a link are signed: those of another repository need another signature."""
    import base64

    alder, birch = named(isolation, isolation.alder), named(isolation, isolation.birch)
    key = isolation.birch.keys["owner"]
    token = _send(hub, "GET", f"/hf/api/models/{birch.repo}/xet-write-token/main", key).json()["accessToken"]
    facts, _, mac = token.partition(".")
    plain = json.loads(base64.urlsafe_b64decode(facts + "=" * (-len(facts) % 4)))
    plain["repo"] = alder.repo
    forged = base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=") + "." + mac
    assert _send(hub, "POST", "/hf/xet/v1/shards", forged).status_code == 401
