"""Which door answers what: machines under /api, /health and /metrics, people everywhere else."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from pearlstreet.api.app import create_api
from pearlstreet.center import Center
from pearlstreet.console.app import create_console

MACHINE_PATHS = ("/health", "/metrics")
MACHINE_PREFIX = "/api/"


def create_web(center: Center) -> ASGIApp:
    """The API and the console of one center on one address."""
    api, console = create_api(center), create_console(center)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_api = path.startswith(MACHINE_PREFIX) or path in MACHINE_PATHS or scope["type"] != "http"
        await (api if to_api else console)(scope, receive, send)

    return app
