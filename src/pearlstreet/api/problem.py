"""Errors as RFC 9457 problem documents, in the caller's language. Only this module turns errors into HTTP responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pearlstreet.api.validation import does_not_fit, model_in
from pearlstreet.base.errors import InvalidInput, NotFound, PearlError, Problem, TooLarge, Unauthenticated
from pearlstreet.base.text import pick_language, text

MEDIA_TYPE = "application/problem+json"
TITLES = {
    "invalid_input": text("The request is invalid"),
    "unauthenticated": text("Please sign in"),
    "forbidden": text("Not allowed"),
    "not_found": text("Not found"),
    "conflict": text("Not possible in the current state"),
    "idempotency_mismatch": text("The idempotency key was used for another request"),
    "payment_required": text("The balance is too low"),
    "too_large": text("Too large"),
    "too_many": text("Too many requests"),
    "unavailable": text("Not available right now"),
    "method_not_allowed": text("The method is not allowed at this path"),
    "bug": text("Internal error"),
}
log = structlog.get_logger("api")
ERRORS = Counter("pearl_api_errors_total", "Answers that are errors", ["status", "code"])


def problem_document(error: PearlError, language: str, request_id: str) -> dict[str, object]:
    """Return the body of an error response."""
    title = TITLES.get(error.code, TITLES["bug"])
    body: dict[str, object] = {
        "type": f"urn:pearlstreet:error:{error.code}",
        "title": title.render(language),
        "status": error.status,
        "code": error.code,
        "detail": error.message.render(language),
        "instance": f"urn:pearlstreet:request:{request_id}",
    }
    if error.hint is not None:
        body["hint"] = error.hint.render(language)
    if error.problems:
        body["problems"] = [_problem(item, language) for item in error.problems]
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    return body


def _problem(item: Problem, language: str) -> dict[str, object]:
    value: dict[str, object] = {"field": item.field, "message": item.message.render(language)}
    for name in ("file", "line", "column"):
        found = getattr(item, name)
        if found is not None:
            value[name] = found
    if item.hint is not None:
        value["hint"] = item.hint.render(language)
    return value


def respond(request: Request, error: PearlError) -> Response:
    """Return the response for an error."""
    language = pick_language(request.headers.get("accept-language"))
    request_id = getattr(request.state, "request_id", "-")
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="pearlstreet"'
    ERRORS.labels(str(error.status), error.code).inc()
    return Response(
        to_json(problem_document(error, language, request_id)),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


class MethodNotAllowed(PearlError):
    code, status = "method_not_allowed", 405


def install(app: FastAPI, methods_at: Callable[[str], Sequence[str]]) -> None:
    """Answer every failure of the app with a problem document; `methods_at`: the methods of a path, for `Allow`."""

    @app.exception_handler(PearlError)
    async def ours(request: Request, error: PearlError) -> Response:
        if error.status >= 500 and error.status != 503:
            return unexpected(request, error)
        return respond(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return respond(request, _from_validation(error, request))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        answer = respond(request, _from_status(error, request))
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        if (
            error.status_code == 405
        ):  # Starlette's header lists the methods of the first route with this path only
            answer.headers["allow"] = ", ".join(methods_at(request.url.path))
        return answer

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # the client is gone and does not read it

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return unexpected(request, error)


def unexpected(request: Request, error: Exception) -> Response:
    """Return the response for an unexpected error: logged with its traceback, answered without internals."""
    request_id = getattr(request.state, "request_id", "-")
    log.error("unexpected", request=request_id, path=request.url.path, exc_info=error)

    class Bug(PearlError):
        code, status = "bug", 500

    return respond(
        request,
        Bug(
            text("An internal error occurred; nothing was changed"),
            hint=text("Give the operator this request's number: {request}", request=request_id),
        ),
    )


def _from_status(error: HTTPException, request: Request) -> PearlError:
    if error.status_code == 404:
        return NotFound(text("There is nothing at {path}", path=request.url.path))
    if error.status_code == 405:
        return MethodNotAllowed(
            text("{path} does not support {method}", method=request.method, path=request.url.path)
        )
    if error.status_code == 413:
        return TooLarge(text("The request is too large"))
    return InvalidInput(text("{message}", message=str(error.detail)))


def _from_validation(error: RequestValidationError, request: Request) -> InvalidInput:
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = model_in(body_field.field_info.annotation) if body_field is not None else None
    return does_not_fit(error.errors(), model)
