"""Errors as the clients expect them: typed by the header `X-Error-Code`, with a sentence in `X-Error-Message`."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from pearlstreet.base.errors import PearlError, Unauthenticated
from pearlstreet.base.text import pick_language, text

log = structlog.get_logger("hubapi")


def error_response(request: Request, error: Exception) -> JSONResponse:
    """Return the response for an error; an unexpected one is logged and tells nothing of itself."""
    if not isinstance(error, PearlError) or (error.status >= 500 and error.status != 503):
        log.error("unexpected", path=request.url.path, exc_info=error)
        message = text("An internal error occurred; nothing was changed").render("en")
        return JSONResponse({"error": message}, 500)
    # Headers are Latin-1, so they hold the English sentence; the body has the caller's language.
    language = pick_language(request.headers.get("accept-language"))
    said = error.message.render("en")
    if error.hint is not None:
        said += ". " + error.hint.render("en")
    headers = {"x-error-message": said.encode("ascii", "replace").decode()[:500].replace("\n", " ")}
    code = getattr(error, "hub_code", None)
    if code is not None:
        headers["x-error-code"] = code
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="pearlstreet"'
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    body = {"error": error.message.render(language)}
    return JSONResponse(body, error.status, headers)
