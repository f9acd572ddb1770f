"""Event streams wake a tenant's open pages for its own changes only, and follow no foreign log."""

from __future__ import annotations

import asyncio
from typing import Any

from pearlstreet.console.app import create_console
from pearlstreet.store.transitions import record_transition
from tests.isolation.tenants import Tenant
from tests.isolation.world import Isolation

WITHIN_S = 30.0


class Listener:
    """An open page of one tenant: what the stream said so far."""

    def __init__(self, tenant: Tenant) -> None:
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        cookie = f"pearl_session={tenant.sessions['owner']}".encode()
        self._scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": "/live", "raw_path": b"/live", "scheme": "http",
            "query_string": b"", "headers": [(b"host", b"center"), (b"cookie", cookie)], "client": ("127.0.0.1", 1),
            "server": ("center", 80), "state": {},
        }  # fmt: skip

    async def listen(self, app: Any) -> None:
        """Read until cancelled."""

        async def send(message: Any) -> None:
            if message.get("body"):
                await self.said.put(message["body"])

        await app(self._scope, lambda: asyncio.Event().wait(), send)

    async def next(self) -> bytes:
        """What comes next."""
        return await asyncio.wait_for(self.said.get(), WITHIN_S)


def test_a_page_is_woken_for_its_own_tenant_only(isolation: Isolation) -> None:
    store = isolation.world.center.store

    def change(tenant: Tenant) -> None:
        store.write(lambda tx: record_transition(tx, tenant.first("job"), "succeeded", "succeeded", "test"))

    async def story() -> None:
        app = create_console(isolation.world.center, isolation.world.services)
        alder, birch = Listener(isolation.alder), Listener(isolation.birch)
        tasks = [asyncio.create_task(one.listen(app)) for one in (alder, birch)]
        assert b"hello" in await alder.next() and b"hello" in await birch.next()
        while alder.said.empty():  # a change before the first look wakes nobody
            await asyncio.to_thread(change, isolation.alder)
            await asyncio.sleep(0.2)
        assert birch.said.empty(), "both would have been woken by the same look"
        while birch.said.empty():
            await asyncio.to_thread(change, isolation.birch)
            await asyncio.sleep(0.2)
        assert b"changed" in await alder.next() and b"changed" in await birch.next()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_no_foreign_log_is_followed(isolation: Isolation) -> None:
    for role in ("owner", "member", "viewer"):
        for job in isolation.alder.ids["job"]:
            path = f"/jobs/{job}/logs?follow=true"
            assert isolation.world.get(path, isolation.birch.keys[role]).status_code == 404
    own = f"/jobs/{isolation.alder.first('job')}/logs?follow=true"
    assert isolation.world.get(own, isolation.alder.keys["owner"]).status_code == 200


def test_metrics_are_for_operators(isolation: Isolation) -> None:
    send = isolation.world.browser.send
    for key in isolation.birch.keys.values():
        assert send("GET", "/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403
