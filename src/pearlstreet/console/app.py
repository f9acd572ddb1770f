"""The console as one ASGI application: all pages of the registry, static files and the event stream of changes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pearlstreet.base.errors import PearlError
from pearlstreet.base.services import Services
from pearlstreet.base.text import pick_language
from pearlstreet.center import Center
from pearlstreet.console import statics
from pearlstreet.console.live import ChangeNotifier
from pearlstreet.console.menu import MENU
from pearlstreet.console.metrics import measured
from pearlstreet.console.registry import PAGES
from pearlstreet.console.renderer import Renderer
from pearlstreet.console.routing import SecuredPageRouter
from pearlstreet.http.stream_limiter import LimitedStream
from pearlstreet.services.jobs import JobsService


def create_console(center: Center, services: Services) -> Starlette:
    """Return the console of one center. Raises RuntimeError for a page that names a service which the center lacks."""
    page_router = SecuredPageRouter(center, services, Renderer(PAGES, MENU))
    pulse = ChangeNotifier(services.get(JobsService))

    async def live(request: Request) -> Response:
        try:
            actor = await page_router.authenticate(request)
            ticket = center.streams.open(
                actor.user_id or actor.label, request.client.host if request.client else "-"
            )
        except PearlError as error:
            wait = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
            words = error.message.render(pick_language(request.headers.get("accept-language")))
            return Response(words, status_code=error.status, headers=wait, media_type="text/plain")
        return LimitedStream(
            pulse.listen(actor.orgs_with("jobs:read")),
            limiter=center.streams,
            ticket=ticket,
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def missing(request: Request, error: Exception) -> Response:
        return await page_router.missing(request, error)

    routes = [
        Route(f"{statics.PREFIX}/{{digest}}/{{name}}", statics.serve, methods=["GET"]),
        Route("/live", live, methods=["GET"]),
    ]
    for page in PAGES:
        methods = ["GET", "POST"] if page.actions else ["GET"]
        routes.append(Route(page.path, measured(page.path, page_router.endpoint(page)), methods=methods))
    return Starlette(routes=routes, exception_handlers={HTTPException: missing})
