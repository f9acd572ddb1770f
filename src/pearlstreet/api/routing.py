"""A router that authenticates, authorises and runs every route of the API, off the event loop and once per Idempotency-Key.

Each route declares its access: `scope=…` (with `at_center=True`: operators only), `signed_in=True` (any valid
credential) or `public=True`. It also declares which tied keys it accepts: `tie=Tied.PROJECT` for routes that restrict
themselves to the key's project, `tie=Tied.NONE` for routes about a person; by default a route is about an organisation
and refuses keys tied to a project. The caller is authenticated before the body is read. Every POST, PUT, PATCH and
DELETE honours Idempotency-Key. A parameter annotated with the class of a service, such as `jobs: JobsService`, receives
that service of the center.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from pearlstreet.api.request_inputs import read_body
from pearlstreet.base.errors import Forbidden, InvalidInput, Problem, Unauthenticated
from pearlstreet.base.services import CenterService, Services, services_in_signature
from pearlstreet.base.text import text
from pearlstreet.center import Center
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.idempotency import OnceClaim, Replayed, fingerprint
from pearlstreet.tenancy.authentication import authenticate, remembered
from pearlstreet.tenancy.model import Actor, project_only
from pearlstreet.tenancy.scopes import SCOPES

T = TypeVar("T")
S = TypeVar("S", bound=CenterService)
F = TypeVar("F", bound=Callable[..., object])
_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
_ACCESS = "x-access"
"""Extension of the OpenAPI document for a route's access: `public`, `signed in`, or the scope."""
_AT_CENTER = "x-at-center"
_TIE = "x-tie"
"""Extension of the OpenAPI document for the tied keys that a route accepts."""
API_PREFIX = "/api/v1"
_FIELD = re.compile(r"\{([a-z_.]+)\}")


Quick = Callable[[Request], Awaitable[Response]]
"""A handler for a hot route that gets the plain request, which saves FastAPI's parsing of parameters."""


class Tied(StrEnum):
    """The tied keys that a route accepts; every route accepts keys without a tie."""

    PROJECT = "project"
    """Keys tied to an organisation or a project: the route only touches rows of the key's project or of no tenant."""
    ORG = "organisation"
    """Keys tied to an organisation (the default)."""
    NONE = "none"
    """No tied key: the route is about a person, or its effect outlives the key."""


Responses = dict[int | str, dict[str, object]]
"""HTTP status → description of the response, as FastAPI takes it."""


class RouteAccess(TypedDict, total=False):
    """Declared access of a route, as the module describes it."""

    scope: str
    public: bool
    signed_in: bool
    at_center: bool
    tie: Tied


class FrameworkOptions(TypedDict, total=False):
    """Options of a route that go to FastAPI unchanged."""

    status_code: int
    responses: Responses
    response_class: type[Response]


class RouteOptions(RouteAccess, FrameworkOptions, total=False):
    """All options of a route (see `SecuredRouter._route`)."""

    quick: Quick
    operation: str
    location: str
    openapi_extra: dict[str, object]


class Decorator(Protocol):
    """A decorator that keeps the handler's type."""

    def __call__(self, handler: F, /) -> F: ...


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """Facts about one route, for the role × tenant matrix of the tests and for the reference page."""

    method: str
    path: str
    scope: str | None
    """The scope that the route requires, or None."""
    public: bool
    """Whether the route works without a credential."""
    at_center: bool
    """Whether the scope must be held at the center, by an operator, and not only in an organisation."""
    summary: str = ""
    tie: Tied = Tied.ORG
    """The tied keys that the route accepts."""
    operation: str = ""
    """Operation id in the OpenAPI document, such as `listJobs`."""


class SecuredRoute(APIRoute):
    """A route that authenticates and authorises the caller before it reads the body and calls the handler."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[object, object, Response]]:
        handler = super().get_route_handler()
        extra = self.openapi_extra or {}
        access = str(extra.get(_ACCESS, ""))
        scope = access if access in SCOPES else None
        at_center = bool(extra.get(_AT_CENTER, False))
        tie = Tied(extra.get(_TIE, Tied.ORG))
        takes_body = self.body_field is not None
        quick: Quick | None = getattr(self.endpoint, "quick", None)
        location: str = getattr(self.endpoint, "location", "")

        async def respond(request: Request) -> Response:
            if quick is not None:
                return await quick(request)
            if takes_body:
                await read_body(request)
            return await handler(request)

        async def secured(request: Request) -> Response:
            if access != "public":
                actor = await _authenticate(request)
                _check_tie(actor, tie)
                if scope is not None:
                    _check_scope(actor, scope, at_center)
                request.state.actor = actor
            response = await respond(request)
            if location and response.status_code == 201:
                response.headers["location"] = fill_location(location, request.path_params, response.body)
            return response

        return secured


class SecuredRouter:
    """A router that refuses to mount a route without declared access."""

    def __init__(self, prefix: str, tag: str) -> None:
        self.api_router = APIRouter(prefix=prefix, tags=[tag], route_class=SecuredRoute)
        self.registry: list[RouteFacts] = []
        self.services: set[type[CenterService]] = set()
        """Services that the routes name in their signatures."""
        self._prefix = prefix

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Decorator:
        """Mount a GET route."""
        return self._route("GET", path, **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Decorator:
        """Mount a POST route."""
        return self._route("POST", path, **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Decorator:
        """Mount a PUT route."""
        return self._route("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Decorator:
        """Mount a PATCH route."""
        return self._route("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Decorator:
        """Mount a DELETE route."""
        return self._route("DELETE", path, **options)

    def _route(
        self,
        method: str,
        path: str,
        *,
        scope: str | None = None,
        public: bool = False,
        signed_in: bool = False,
        at_center: bool = False,
        tie: Tied = Tied.ORG,
        quick: Quick | None = None,
        operation: str = "",
        location: str = "",
        openapi_extra: dict[str, object] | None = None,
        **options: Unpack[FrameworkOptions],
    ) -> Decorator:
        """Mount a route.

        `operation`: its operation id, by default the handler's name in camel case. `location`: template of the
        `Location` header of a 201; names in braces are path parameters or fields of the JSON response.
        """
        if (options.get("status_code") == 201) != bool(location):
            raise RuntimeError(f"{method} {self._prefix}{path}: a 201, and only it, needs a location")
        if (scope is not None) + public + signed_in != 1 or (scope is not None and scope not in SCOPES):
            raise RuntimeError(
                f"{method} {self._prefix}{path}: say who may call it: scope, signed_in or public"
            )
        extra = (openapi_extra or {}) | {_ACCESS: scope or ("public" if public else "signed in")}
        if public:
            extra["security"] = []
        if at_center:
            extra[_AT_CENTER] = True
        if not public:
            extra[_TIE] = tie.value
        if location:
            options["responses"][201] |= {"headers": {"Location": LOCATION_HEADER}}

        def decorate(handler: F) -> F:
            self.services.update(_provide_services(handler))
            handler.quick = quick  # type: ignore[attr-defined]
            handler.location = location  # type: ignore[attr-defined]
            summary = (handler.__doc__ or "").strip().split("\n")[0]
            operation_id = operation or camel_case(handler.__name__)
            self.registry.append(
                RouteFacts(method, self._prefix + path, scope, public, at_center, summary, tie, operation_id)
            )
            mount: Decorator = self.api_router.api_route(
                path,
                methods=[method],
                operation_id=operation_id,
                openapi_extra=extra,
                **options,
            )
            return mount(handler)

        return decorate


LOCATION_HEADER = {
    "description": "Path of the created resource, or of its list if it has no path of its own",
    "schema": {"type": "string", "format": "uri-reference"},
}


def camel_case(name: str) -> str:
    """Return `listJobs` for `list_jobs`."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def fill_location(template: str, path: Mapping[str, object], body: bytes | memoryview) -> str:
    """Return the `Location` header: each name in braces is replaced by the path parameter, or the field of the JSON body."""
    answered: Any = None

    def value(match: re.Match[str]) -> str:
        nonlocal answered
        if match[1] in path:
            return quote(str(path[match[1]]), safe="")
        if answered is None:
            answered = from_json(bytes(body))
        field = answered
        for name in match[1].split("."):
            field = field[name]
        return quote(str(field), safe="")

    return API_PREFIX + _FIELD.sub(value, template)


def center_of(request: Request) -> Center:
    """Return the center that serves this request."""
    center: Center = request.app.state.center
    return center


def service_of(request: Request, kind: type[S]) -> S:
    """Return the service of this class, for handlers that FastAPI does not call."""
    services: Services = request.app.state.services
    return services.get(kind)


def _provide_services(handler: Callable[..., object]) -> Collection[type[CenterService]]:
    """Let FastAPI fill the handler's parameters that are annotated with the class of a service, and return these classes."""
    found = services_in_signature(handler)
    if not found:
        return ()

    def dependency(kind: type[CenterService]) -> Any:
        async def provide(request: Request) -> CenterService:
            return service_of(request, kind)

        return Depends(provide)

    signature = inspect.signature(handler)
    parameters = [
        one.replace(annotation=Annotated[found[name], dependency(found[name])]) if name in found else one
        for name, one in signature.parameters.items()
    ]
    handler.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return found.values()


def peer_of(request: Request) -> str:
    """Return the caller's address."""
    return request.client.host if request.client else "-"


async def _authenticate(request: Request) -> Actor:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise Unauthenticated(
            text("This needs an API key"),
            hint=text("Send it as: Authorization: Bearer pearl_…; pearl login keeps one for the CLI"),
        )
    store = center_of(request).store
    peer = peer_of(request)
    cached = remembered(store, credential)
    if cached is not None:
        return cached
    return await in_thread(lambda: authenticate(store, credential, peer=peer))


def _check_tie(actor: Actor, tie: Tied) -> None:
    if actor.project_id is not None and tie is not Tied.PROJECT:
        raise project_only(actor)
    if actor.tie is not None and tie is Tied.NONE:
        raise Forbidden(
            text("This key is tied to {place} and cannot do that", place=actor.tie.name),
            hint=text(
                "The action is about a person or outlives the key: sign in, or use a key that is not tied"
            ),
        )


def _check_scope(actor: Actor, scope: str, at_center: bool) -> None:
    """Refuse callers that hold the scope nowhere; the service checks that they hold it for the organisation at hand."""
    if actor.may(scope) if at_center else scope in actor.all_scopes():
        return
    raise actor.lacks(scope)


async def actor_of(request: Request) -> Actor:
    """Return the actor that SecuredRoute authenticated."""
    actor: Actor = request.state.actor
    return actor


CurrentActor = Depends(actor_of)


async def in_thread(call: Callable[[], T], slots: anyio.CapacityLimiter | None = None) -> T:
    """Run a blocking call in a thread; `slots` bounds how many calls of its kind run at once."""
    return await anyio.to_thread.run_sync(call, limiter=slots)


async def command(
    request: Request,
    actor: Actor | None,
    run: Callable[[Store], T],
    render: Callable[[T], object],
    *,
    status: int = 200,
    body: bytes | None = None,
) -> Response:
    """Run one command, once per Idempotency-Key, and return its rendered result.

    `actor` None: the route is public. `body`: bytes to compare for idempotency when the request's body was streamed.
    """
    store = await _once(request, actor, lambda result: encode(render(result)), body)
    try:
        return answer(await in_thread(lambda: encode(render(run(store)))), status)
    except Replayed as replay:
        return _again(replay, status)


async def transaction(
    request: Request,
    actor: Actor,
    run: Callable[[Tx], T],
    render: Callable[[T], object],
    *,
    status: int = 200,
    body: bytes | None = None,
) -> Response:
    """Run one transaction like `command`, without a waiting thread: for the hot path."""
    store = await _once(request, actor, lambda result: encode(render(result)), body)
    try:
        result, topics = await asyncio.wrap_future(store.submit(run))
    except Replayed as replay:
        return _again(replay, status)
    store.hints.fire(topics)
    return answer(encode(render(result)), status)


async def query(run: Callable[[], T], render: Callable[[T], object]) -> Response:
    """Run one query and return its rendered result."""
    return answer(await in_thread(lambda: encode(render(run()))))


def answer(body: bytes, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(body, status_code=status, media_type="application/json")


def _again(replay: Replayed, status: int) -> Response:
    response = answer(replay.body, status)
    response.headers["idempotent-replayed"] = "true"
    return response


async def _once(
    request: Request, actor: Actor | None, encode_result: Callable[[Any], bytes], body: bytes | None
) -> Store:
    store = center_of(request).store
    key = request.headers.get("idempotency-key")
    if key is None:
        return store
    if not _KEY.match(key):
        raise InvalidInput(
            text("The Idempotency-Key is invalid"),
            problems=[
                Problem("Idempotency-Key", text("Use 1 to 255 visible ASCII characters, such as a UUID"))
            ],
        )
    content = body if body is not None else await request.body()
    path = request.url.path + ("?" + request.url.query if request.url.query else "")
    seen = fingerprint(request.method, path, content)
    if store.sealer is not None:
        seen = store.sealer.mac(
            seen.encode()
        )  # bodies may hold passwords, which a plain hash would let one guess
    scope = actor.label if actor is not None else f"public {peer_of(request)}"[:80]
    return store.once(OnceClaim(scope, key, seen, encode_result))


def encode(value: object) -> bytes:
    """Return the JSON of a pydantic model, or of plain values that contain models."""
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value)
    return to_json(value)
