"""The client has a method for every route: each method is called once, and what it asks for is held against the routes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from pearlstreet.api.app import all_routes
from pearlstreet.client import Client
from pearlstreet.client.noun import Noun, at

BROWSERS = {
    ("GET", "/api/v1/oidc/{provider}/start"),
    ("GET", "/api/v1/oidc/{provider}/callback"),
    ("GET", "/metrics"),  # Prometheus
}
"""What no program with this client asks for."""
VALUES: Mapping[str, Any] = {
    "str": "x1",
    "str | None": "x1",
    "bool": True,
    "int": 1,
    "int | None": 1,
    "float": 1.0,
    "float | None": 1.0,
    "bytes": b"x",
    "Sequence[str]": ["x1"],
    "Sequence[str] | None": ["x1"],
    "Sequence[int] | None": [1],
    "Sequence[Mapping[str, Any]]": [{}],
    "Mapping[str, Any]": {},
    "Mapping[str, Any] | None": {},
    "Mapping[str, Any] | str": {},
    "Mapping[str, Sequence[str] | None] | None": {},
}
ANSWER: Mapping[str, Any] = {
    "items": [{"id": "x1", "path": "a"}],
    "count": 1,
    "changed": 1,
    "lessons": 1,
    "state": "succeeded",
    "phase": "closed",
    "next_cursor": None,
}


class Recorder:
    """Answers anything, and keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append((request.method, request.url.raw_path.decode().split("?")[0]))
        headers = {"x-ended": "true"}
        return httpx.Response(200, content=json.dumps(ANSWER).encode(), headers=headers)


def methods(client: Client) -> Iterator[tuple[str, Any]]:
    """Every public method of the client and its nouns."""
    for name, thing in [("client", client), *vars(client).items()]:
        if isinstance(thing, Client | Noun):
            for method, call in inspect.getmembers(thing, inspect.ismethod):
                if not method.startswith("_") and (name, method) not in SKIPPED:
                    yield f"{name}.{method}", call


SKIPPED = {("client", "close"), ("client", "request"), ("client", "pages"), ("client", "raw")}


def call(method: Any, folder: Path, org: str) -> None:
    """With something for every parameter."""
    (folder / "file").write_bytes(b"x")
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or "Callable" in str(parameter.annotation):
            continue
        if name == "path":
            given[name] = folder / "file"
        elif parameter.annotation == "Path":
            given[name] = folder / "target"
        elif name == "org":
            given[name] = org
        elif name == "follow":
            given[name] = False
        else:
            given[name] = VALUES[str(parameter.annotation)]
    answer = method(**given)
    if inspect.isgenerator(answer):
        list(answer)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Every (method, address) that the client's methods lead to."""
    recorder = Recorder()
    client = Client("http://center", "key", http=httpx.MockTransport(recorder))
    for _, method in methods(client):
        for org in ("x1", "center"):
            call(method, tmp_path_factory.mktemp("folder"), org)
    for noun in (client.notices,):  # without an organisation: one's own
        noun.preferences()
        noun.set_preferences()
        noun.confirm("x1")
    return set(recorder.asked)


def test_every_route_has_a_method(asked: set[tuple[str, str]]) -> None:
    lacking = [
        f"{route.method} {route.path}"
        for route in all_routes()
        if (route.method, route.path) not in BROWSERS and not _is_asked(route.method, route.path, asked)
    ]
    assert not lacking, "the client has no method for:\n" + "\n".join(lacking)


def _is_asked(method: str, path: str, asked: set[tuple[str, str]]) -> bool:
    """Parameters of a path are x1 here, so that /jobs/{job} is not taken for /jobs/schema."""
    return (method, path) in asked or any(
        method == used and compile_path(path)[0].match(where) and where == _filled(path, where)
        for used, where in asked
    )


def _filled(path: str, where: str) -> str:
    pairs = zip(path.split("/"), where.split("/"), strict=True)
    return "/".join(there if part.startswith("{") else part for part, there in pairs if True)


def test_every_method_asks_for_something_that_exists(asked: set[tuple[str, str]]) -> None:
    routes = [(route.method, compile_path(route.path)[0]) for route in all_routes()]
    stray = [
        f"{method} {where}"
        for method, where in sorted(asked)
        if not any(method == m and pattern.match(where) for m, pattern in routes)
    ]
    assert not stray, "\n".join(stray)


def test_every_method_says_what_it_does_and_what_it_takes() -> None:
    client = Client("http://center", "key", http=httpx.MockTransport(Recorder()))
    for name, method in methods(client):
        assert (method.__doc__ or "").strip().endswith("."), name
        signature = inspect.signature(method)
        assert signature.return_annotation is not signature.empty, name
        assert all(p.annotation is not p.empty for p in signature.parameters.values()), name


def test_a_name_stays_one_part_of_an_address() -> None:
    assert at("orgs", "a/../b?c#d", "members") == "/orgs/a%2F..%2Fb%3Fc%23d/members"
