"""A whole center behind a real socket, with a count of what was really asked of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from pearlstreet.api.app import PREFIX, create_api
from pearlstreet.app.serve import bind
from pearlstreet.app.settings import Settings
from pearlstreet.base.errors import PearlError
from pearlstreet.tenancy import keys, orgs, users
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, ORG_ROLES, OperatorRole, OrgRole
from tests.api.world import World, a_world

ROLES = ("owner", "system", "security", "audit", "anonymous")
"""Who asks: a tenant's owner, three operators with different duties (one only reads), and nobody."""
ADDRESSES = {role: f"127.0.0.{10 + number}" for number, role in enumerate(ROLES)}
"""Each asks from an address of their own, by which the server tells them apart: one's lockout is not another's."""
START_WITHIN_S = 120.0


@dataclass
class Count:
    """Around the API: how often each role reached each operation, and with what result."""

    app: Any
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By role and operation (`POST /api/v1/jobs`); `-` where the router found none."""
    answers: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    """Answers of each operation that were no refusal (2xx, 3xx)."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status = 0

        async def heard(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, heard)
        finally:
            peer = scope["client"][0] if scope.get("client") else "-"
            role = next((role for role, address in ADDRESSES.items() if address == peer), "-")
            path = getattr(scope.get("route"), "path", None)
            if path is not None and not scope["path"].startswith(path.split("{")[0]):
                path = PREFIX + path  # a router knows its own part of the path only
            operation = f"{scope['method']} {path}" if path and status != 405 else "-"
            self.asked[role, operation] += 1
            self.answers[status] += 1
            self.reached[operation] += status < 400


@dataclass
class Served:
    """One center, its address, and its counts."""

    world: World
    url: str
    count: Count

    def credential(self, role: str) -> str | None:
        """What a role shows; what was asked before may have ended its key, or its whole account: then a fresh one."""
        if role == "anonymous":
            return None
        key = self.world.keys[role]
        if not _scopes(role) <= set(self.world.get("/me", key).json().get("scopes", ())):
            key = self.world.keys[role] = self.fresh(role)
        return key

    def fresh(self, role: str) -> str:
        """A key of somebody new in that role."""
        store = self.world.center.store
        name = f"{role}-{store.rng.token_bytes(6).hex()}"
        if role == "owner":
            user = users.create_user(store, SYSTEM, name, org="acme", role=OrgRole.OWNER).user
        else:
            user = users.create_user(store, SYSTEM, name, operator_role=OperatorRole(role)).user
        made = keys.create_key(store, SYSTEM, "fuzz", scopes=_scopes(role), for_user=user.id, life_days=1)
        return made.credential

    def tend(self) -> None:
        """Let the loops work on what was asked, and let the tenant on if it was suspended."""
        with suppress(PearlError):
            orgs.resume_org(self.world.center.store, SYSTEM, "acme", "")
        self.world.step()


def _scopes(role: str) -> frozenset[str]:
    return ORG_ROLES[OrgRole.OWNER] if role == "owner" else OPERATOR_ROLES[OperatorRole(role)]


@contextmanager
def served(data: Path, **settings: Any) -> Iterator[Served]:
    """A center with tenants, answering on loopback."""
    with a_world(data, **settings) as world:
        count = Count(create_api(world.center, world.services))
        listening = bind(Settings(data=data, port=0))
        server = uvicorn.Server(
            uvicorn.Config(
                count,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_WITHIN_S
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        host, port = listening.getsockname()[:2]
        try:
            yield Served(world, f"http://{host}:{port}", count)
        finally:
            server.should_exit = True
            thread.join(30)
            listening.close()
