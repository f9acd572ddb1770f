"""The client has a method for every route: each method is called once, and what it asks for is held against the routes."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from pearlstreet.api.app import all_routes
from pearlstreet.api.client_types import answer_schemas, result_type, results_module
from pearlstreet.client import Client
from pearlstreet.client.noun import Noun, at

RESULTS = Path(__file__).parents[3] / "src" / "pearlstreet" / "client" / "results.py"
BROWSERS = {
    ("GET", "/api/v1/oidc/{provider}/start"),
    ("GET", "/api/v1/oidc/{provider}/callback"),
    ("GET", "/metrics"),  # Prometheus
}
"""What no program with this client asks for."""
VALUES: Mapping[str, object] = {
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
    "Sequence[Mapping[str, object]]": [{}],
    "Mapping[str, object]": {},
    "Mapping[str, object] | None": {},
    "Mapping[str, object] | str": {},
    "Mapping[str, object] | str | Path": {},
    "Path | None": None,
    "Mapping[str, Sequence[str] | None] | None": {},
}
ANSWER: Mapping[str, object] = {
    "items": [{"id": "x1", "path": "a"}],
    "count": 1,
    "changed": 1,
    "lessons": 1,
    "offset": 1,
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


SKIPPED = {
    *(("client", name) for name in ("close", "request", "pages", "raw")),
    *(
        ("hub", name)
        for name in (
            "upload",
            "download",
            "commit",
            "missing",
            "send_large",
            "upload_groups",
            "open_file",
            "tree",
            "put_history",
        )
    ),  # they speak the Hub API: tests/cli/test_hub.py
}


def call(method: Any, folder: Path, org: str) -> None:
    """With something for every parameter."""
    (folder / "file").write_bytes(b"x")
    given: dict[str, Any] = {}
    listed: list[object] = []
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or "Callable" in str(parameter.annotation):
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            listed.append(VALUES[str(parameter.annotation)])
        elif name == "path":
            given[name] = folder / "file"
        elif parameter.annotation == "Path":
            given[name] = folder / "target"
        elif name == "repository":
            given[name] = "x1/x1"
        elif name == "org":
            given[name] = org
        elif name == "follow":
            given[name] = False
        else:
            given[name] = VALUES[str(parameter.annotation)]
    answer = method(*listed, **given)
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


def test_every_method_returns_what_the_document_says(tmp_path: Path) -> None:
    recorder, schemas = Recorder(), answer_schemas()
    client = Client("http://center", "key", http=httpx.MockTransport(recorder))
    wrong, checked = [], 0
    for name, method in methods(client):
        recorder.asked.clear()
        folder = tmp_path / name
        folder.mkdir()
        call(method, folder, "x1")
        returned = str(inspect.signature(method).return_annotation)
        if "results." in returned:
            wanted = result_type(schemas[_operation(*recorder.asked[-1])])
            if returned not in (wanted, f"Rows[{wanted}]", f"Iterator[{wanted}]"):
                wrong.append(f"{name}: {returned}, not {wanted}")
            checked += 1
    assert not wrong, "\n".join(wrong)
    assert checked > 130


def _operation(method: str, where: str) -> str:
    fitting = [
        route
        for route in all_routes()
        if route.method == method
        and compile_path(route.path)[0].match(where)
        and where == _filled(route.path, where)
    ]
    return min(fitting, key=lambda route: route.path.count("{")).operation


def test_the_types_of_results_are_those_of_the_api() -> None:
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(RESULTS), "-"]
    wanted = subprocess.run(ruff, input=results_module(), capture_output=True, text=True, check=True).stdout
    assert RESULTS.read_text(encoding="utf-8") == wanted, "run: make reference"


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
