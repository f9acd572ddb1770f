"""The Hugging Face Hub API as an ASGI app: a table of routes over the raw path, where `%2F` stays inside one segment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pearlstreet.base.text import text
from pearlstreet.center import Center
from pearlstreet.http.rate_limiter import RateLimiter
from pearlstreet.http.request_body import check_encoding
from pearlstreet.hub.model import RepoNotFound
from pearlstreet.hubapi import cas, commits, files, history, lfs, repos
from pearlstreet.hubapi.call import KINDS, PREFIX, Call
from pearlstreet.hubapi.errors import error_response

Handler = Callable[[Call], Awaitable[Response]]
_REPO = "api/{kind}/{org}/{name}"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "api/whoami-v2", repos.whoami),
    ("POST", "api/repos/create", repos.create),
    ("DELETE", "api/repos/delete", repos.delete),
    ("POST", "api/repos/move", repos.move),
    ("POST", "api/validate-yaml", repos.validate_yaml),
    ("GET", "api/{kind}", repos.list_repos),
    ("GET", _REPO, repos.info),
    ("GET", f"{_REPO}/revision/{{rev}}", repos.info),
    ("PUT", f"{_REPO}/settings", repos.settings),
    ("GET", f"{_REPO}/tree/{{rev}}", files.tree),
    ("GET", f"{_REPO}/tree/{{rev}}/*", files.tree),
    ("POST", f"{_REPO}/paths-info/{{rev}}", files.paths_info),
    ("GET", f"{_REPO}/refs", repos.refs),
    ("POST", f"{_REPO}/branch/{{ref}}", repos.create_branch),
    ("DELETE", f"{_REPO}/branch/{{ref}}", repos.delete_branch),
    ("POST", f"{_REPO}/tag/{{ref}}", repos.create_tag),
    ("DELETE", f"{_REPO}/tag/{{ref}}", repos.delete_tag),
    ("GET", f"{_REPO}/commits/{{rev}}", files.commits),
    ("POST", f"{_REPO}/super-squash/{{ref}}", repos.squash),
    ("POST", f"{_REPO}/preupload/{{rev}}", commits.preupload),
    ("POST", f"{_REPO}/commit/{{rev}}", commits.commit),
    ("PUT", f"{_REPO}/history", history.put_history),
    ("GET", f"{_REPO}/auth-check", repos.auth_check),
    ("GET", f"{_REPO}/auth-check/{{right}}", repos.auth_check),
    ("POST", f"{_REPO}/user-access-request/handle", repos.handle_request),
    ("POST", f"{_REPO}/user-access-request/grant", repos.grant_access),
    ("POST", f"{_REPO}/user-access-request", repos.ask_access),
    ("GET", f"{_REPO}/user-access-request/{{state}}", repos.list_requests),
    ("GET", f"{_REPO}/xet-{{right}}-token/{{rev}}", cas.token),
    ("POST", "{kind}/{org}/{name}.git/info/lfs/objects/batch", lfs.batch),
    ("GET", "{kind}/{org}/{name}/resolve/{rev}/*", files.resolve),
    ("PUT", "lfs/{token}", lfs.put),
    ("PUT", "lfs/{token}/{part}", lfs.put_part),
    ("POST", "lfs/{token}/complete", lfs.complete),
    ("POST", "lfs/{token}/verify", lfs.verify),
    ("GET", "xet/v1/chunks/{prefix}/{hash}", cas.chunks),
    ("POST", "xet/v1/xorbs/{prefix}/{hash}", cas.put_xorb),
    ("POST", "xet/v1/shards", cas.put_shard),
    ("POST", "xet/v2/shards", cas.put_shard_with_progress),
    ("GET", "xet/{version}/reconstructions/{hash}", cas.reconstruction),
    ("GET", "xet/v1/data/{token}", cas.data),
)
"""Method, path and handler of each route. In a path, `{x}` is a part of a segment and `*` all segments that follow."""


def create_hub_api(center: Center, limiter: RateLimiter | None = None) -> ASGIApp:
    """Return the app that serves the hub of one center. `limiter`: rate limits shared with the API; None: its own."""
    limiter = limiter or RateLimiter(center.rates, center.store.clock, PREFIX)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        taken = limiter.take(scope)
        if taken is not None and taken.wait_s > 0:
            response: Response = error_response(request, taken.refusal)
        else:
            response = await _respond(center, request)
        for name, value in taken.headers if taken is not None else ():
            response.headers[name.decode()] = value.decode()
        response.headers.setdefault("x-content-type-options", "nosniff")
        response.headers.setdefault("cache-control", "no-store")
        await response(scope, receive, send)

    return app


async def _respond(center: Center, request: Request) -> Response:
    try:
        refusal = check_encoding(request.scope)
        if refusal is not None:
            raise refusal
        found = _match(request)
        if found is None:
            return JSONResponse({"error": "Not found"}, 404)
        handler, at = found
        call = Call(request, center, at)
        if "org" in at and at["kind"] not in KINDS:
            raise RepoNotFound(text("This hub has models, datasets and recipes"))
        return await handler(call)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:  # noqa: BLE001  every failure is answered
        return error_response(request, error)


def _match(request: Request) -> tuple[Handler, dict[str, str]] | None:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.split(b"?")[0].decode("ascii", "replace").removeprefix(PREFIX)
    request.scope["hub_path"] = path
    segments = [unquote(part) for part in path.strip("/").split("/")]
    if any("\0" in segment or "\ufffd" in segment for segment in segments):
        return None
    method = "GET" if request.method == "HEAD" else request.method
    candidates = [segments]
    if segments[0] not in ("api", "lfs", "xet") and segments[0] not in KINDS:
        candidates = [["models", *segments]]
    for candidate in candidates:
        for wanted, pattern, handler in ROUTES:
            if wanted == method and (at := _fits(pattern.split("/"), candidate)) is not None:
                if "kind" in at and at["kind"] not in KINDS:
                    continue
                return handler, at
    return None


def _fits(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if pattern[-1] == "*":
        if len(segments) < len(pattern):
            return None
        rest = "/".join(segments[len(pattern) - 1 :])
        at = _fits(pattern[:-1], segments[: len(pattern) - 1])
        return None if at is None else at | {"path": rest}
    if len(pattern) != len(segments):
        return None
    found: dict[str, str] = {}
    for part, segment in zip(pattern, segments, strict=True):
        before, opening, rest = part.partition("{")
        if not opening:
            if part != segment:
                return None
            continue
        name, _, after = rest.partition("}")
        if not (segment.startswith(before) and segment.endswith(after)) or len(segment) <= len(
            before + after
        ):
            return None
        found[name] = segment[len(before) : len(segment) - len(after)]
    return found
