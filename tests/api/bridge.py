"""A blocking HTTP client's way to the center in this process."""

from __future__ import annotations

import httpx

from tests.api.world import World


class Bridge(httpx.BaseTransport):
    """Carries requests of a blocking client to the center of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer is read whole."""
        answer = self._world.browser.send(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        kept = {
            name: value for name, value in answer.headers.items() if name not in ("content-length", "date")
        }
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)
