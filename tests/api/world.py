"""A whole center behind its REST API, in this process: SQLite, a simulated pool, real loops stepped by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from pearlstreet.api.app import create_api
from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import assemble
from pearlstreet.base.services import Services
from pearlstreet.center import Center
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.hub.contents import stage_blob
from pearlstreet.hub.model import CARD_FILE, MAIN, Changes, RepoKind, TreeEntry
from pearlstreet.hub.repositories import get_repo
from pearlstreet.hub.revisions import create_commit
from pearlstreet.store.loop import Loop
from pearlstreet.tenancy import keys, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.bootstrap import bootstrap
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.scopes import OrgRole
from tests.cheap_passwords import cheap_passwords

T = TypeVar("T")
PREFIX = "/api/v1"
JOB = {
    "name": "train",
    "command": ["python", "train.py"],
    "variables": {"SIMULATE_EXIT_CODE": "0"},
    "per_task": {"cpus": 1, "memory_gib": 1},
}


class Browser:
    """A blocking HTTP client of an ASGI app; errors inside the app come back as answers."""

    def __init__(self, app: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://center", timeout=60)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""
        return self.run(self._client.request(method, path, **options))

    @property
    def cookies(self) -> httpx.Cookies:
        """What it remembers."""
        return self._client.cookies

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Anything else on the same event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        """End the event loop."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class World:
    """Two organisations, acme with an owner, a member and a viewer, beta with an owner; three operators."""

    center: Center
    services: Services
    runtime: Runtime
    loops: tuple[Loop, ...]
    browser: Browser
    data: Path
    keys: dict[str, str] = field(default_factory=dict)
    """By role: owner, member, viewer, stranger (beta's owner), system, security, audit."""

    def send(
        self,
        method: str,
        path: str,
        role: str | None = "owner",
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """A request under /api/v1 as somebody; `role` may also be a whole credential."""
        found = dict(headers or {})
        if role is not None:
            found["authorization"] = f"Bearer {self.keys.get(role, role)}"
        return self.browser.send(method, PREFIX + path, headers=found, **options)

    def get(self, path: str, role: str | None = "owner", **options: Any) -> httpx.Response:
        """GET."""
        return self.send("GET", path, role, **options)

    def post(self, path: str, role: str | None = "owner", **options: Any) -> httpx.Response:
        """POST."""
        return self.send("POST", path, role, **options)

    def submit(self, role: str = "owner", **changes: Any) -> str:
        """A job's id."""
        answer = self.post("/jobs", role, json={**JOB, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def step(self) -> None:
        """Every loop once."""
        for loop in self.loops:
            loop.step(self.center.store)

    def until(self, job: str, *states: str, role: str = "owner", within_s: float = 20) -> dict[str, Any]:
        """Step the loops until the job, seen by `role`, is in one of the states."""
        ends = time.monotonic() + within_s
        while True:
            self.step()
            found: dict[str, Any] = self.get(f"/jobs/{job}", role).json()
            if found["state"] in states:
                return found
            assert time.monotonic() < ends, found
            time.sleep(0.02)


@contextmanager
def a_world(data: Path, **settings: Any) -> Iterator[World]:
    """A center with tenants and 10,000 yuan each."""
    with cheap_passwords(), _a_world(data, **settings) as made:
        yield made


@contextmanager
def _a_world(data: Path, **settings: Any) -> Iterator[World]:
    assembled = assemble(
        Settings(data=data, **{"simulate": "2x8xH100-80G", "simulate_speed": 50, **settings})
    )
    store = assembled.center.store
    take_inventory(store, assembled.runtime.engines)
    first = bootstrap(store)
    assert first is not None
    browser = Browser(create_api(assembled.center, assembled.services))
    world = World(
        assembled.center, assembled.services, assembled.runtime, tuple(assembled.loops), browser, data
    )
    world.keys |= {role.value: credential for role, credential in first.credentials.items()}
    for slug, members in (
        ("acme", (("owner", OrgRole.OWNER), ("member", OrgRole.MEMBER), ("viewer", OrgRole.VIEWER))),
        ("beta", (("stranger", OrgRole.OWNER),)),
    ):
        org = orgs.create_org(store, SYSTEM, slug)
        for name, role in members:
            user = users.create_user(store, SYSTEM, name, org=slug, role=role).user
            world.keys[name] = key_of(world, user.id, role)
        assert world.post(f"/orgs/{org.slug}/credit", "system", json={"amount": "10000"}).status_code == 201
    world.step()
    try:
        yield world
    finally:
        browser.close()
        for engine in assembled.runtime.engines.values():
            engine.close()
        store.close()
        assembled.lock.close()


def key_of(world: World, user_id: str, role: OrgRole) -> str:
    """A key of a user with all scopes that a role gives."""
    from pearlstreet.tenancy.scopes import ORG_ROLES

    made = keys.create_key(
        world.center.store, SYSTEM, "test", scopes=ORG_ROLES[role], for_user=user_id, life_days=1
    )
    return made.credential


def commit_card(world: World, name: str, content: bytes = b"# Card\n") -> None:
    """Commit a card to a model, as its owner."""
    store, hub = world.center.store, world.center.hub
    actor = authenticate(store, world.keys["owner"])
    repo = get_repo(store, actor, RepoKind.MODEL, name)
    blob = hub.blobs.keep(iter([content]), "card", limit_bytes=1 << 20)
    stage_blob(store, repo, blob)
    files = {CARD_FILE: TreeEntry(CARD_FILE, blob.sha256, blob.size_bytes, "")}
    create_commit(store, hub, actor, RepoKind.MODEL, name, MAIN, Changes(files), title="Card")
