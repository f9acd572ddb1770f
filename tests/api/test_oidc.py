"""Signing in through a real OpenID Connect provider, through the two routes of the REST API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pearlstreet.tenancy.terminal import challenge_of
from tests.api.world import World, a_world
from tests.engines.oidc.provider import CLIENT_ID, CLIENT_SECRET, RunningProvider, running_provider

PUBLIC = "http://127.0.0.1:9"
BACK = f"{PUBLIC}/api/v1/oidc/campus/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    """The provider process."""
    with running_provider(BACK) as found:
        yield found


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory, provider: RunningProvider) -> Iterator[World]:
    """A center that signs strangers of the campus in as viewers of acme, and has a provider that is down."""
    table = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "private": True,
    }
    oidc = {
        "campus": {**table, "org": "acme", "role": "viewer"},
        "down": {**table, "issuer": "http://127.0.0.1:9"},
    }
    with a_world(tmp_path_factory.mktemp("center"), oidc=oidc, public_url=PUBLIC) as made:
        yield made


def _start(world: World) -> tuple[str, str]:
    """Where the browser is sent, and the cookie it got."""
    answer = world.get("/oidc/campus/start", None)
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/api/v1/oidc/campus" in cookie
    return answer.headers["location"], cookie.split(";")[0]


def _finish(world: World, query: dict[str, str], cookie: str) -> httpx.Response:
    world.browser.cookies.clear()
    return world.get("/oidc/campus/callback", None, params=query, headers={"cookie": cookie})


def test_a_browser_signs_in_and_gets_a_session(campus: World, provider: RunningProvider) -> None:
    address, cookie = _start(campus)
    query = provider.sign_in(address, "lin")
    answer = _finish(campus, query, cookie)
    assert answer.status_code == 200, answer.text
    signed_in = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    me = campus.get("/me", signed_in["token"]).json()
    assert me["orgs"][0]["slug"] == "acme" and me["orgs"][0]["role"] == "viewer"
    assert me["session_id"] == signed_in["session_id"]
    again = _finish(campus, query, cookie)
    assert again.status_code == 401, "a state works once"


def test_another_browser_cannot_finish_it(campus: World, provider: RunningProvider) -> None:
    address, cookie = _start(campus)
    query = provider.sign_in(address, "lin")
    assert _finish(campus, query, "pearl_sign_in=somebody-elses").status_code == 401
    assert _finish(campus, query, "x=y").status_code == 401
    assert _finish(campus, query, cookie).status_code == 200


def test_what_is_not_an_answer_to_us_is_refused(campus: World) -> None:
    _, cookie = _start(campus)
    for query in ({}, {"state": "x", "code": "y"}, {"error": "access_denied"}, {"state": "x" * 400}):
        assert _finish(campus, query, cookie).status_code == 401, query
    assert campus.get("/oidc/nowhere/start", None).status_code == 404
    assert campus.get("/oidc/nowhere/callback", None).status_code == 404


def test_a_provider_that_is_down_says_when_to_come_back(campus: World) -> None:
    answer = campus.get("/oidc/down/start", None)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1:9" not in answer.text


VERIFIER = "what only the program knows, and long enough"


def _for_a_program(campus: World, provider: RunningProvider) -> httpx.Response:
    """A browser's whole way for a program that waits on port 8123."""
    asked = {"port": "8123", "challenge": challenge_of(VERIFIER)}
    answer = campus.get("/oidc/campus/start", None, params=asked)
    assert answer.status_code == 303, answer.text
    query = provider.sign_in(answer.headers["location"], "lin")
    return _finish(campus, query, answer.headers["set-cookie"].split(";")[0])


def test_a_program_picks_up_what_the_browser_finished(campus: World, provider: RunningProvider) -> None:
    sent = _for_a_program(campus, provider)
    assert sent.status_code == 303 and "token" not in sent.text
    back = httpx.URL(sent.headers["location"])
    assert (back.scheme, back.host, back.port) == ("http", "127.0.0.1", 8123)
    picked = {"code": back.params["code"], "verifier": VERIFIER}
    once = {"idempotency-key": "pick-up"}
    answer = campus.post("/sign-in/terminal", None, json=picked, headers=once)
    assert answer.status_code == 201, answer.text
    again = campus.post("/sign-in/terminal", None, json=picked, headers=once)
    assert again.json() == answer.json(), "the same request, sent again after a lost answer"
    assert campus.get("/me", answer.json()["token"]).json()["user"]["name"].startswith("lin")
    assert campus.post("/sign-in/terminal", None, json=picked).status_code == 401, "a code works once"


def test_a_code_is_nothing_without_the_programs_own_part(campus: World, provider: RunningProvider) -> None:
    code = httpx.URL(_for_a_program(campus, provider).headers["location"]).params["code"]
    wrong = {"code": code, "verifier": "a guess"}
    once = {"idempotency-key": "a-guess"}
    assert campus.post("/sign-in/terminal", None, json=wrong, headers=once).status_code == 401
    right = {"code": code, "verifier": VERIFIER}
    assert campus.post("/sign-in/terminal", None, json=right).status_code == 401, "a wrong guess spends it"


@pytest.mark.parametrize(
    "query",
    [
        {"port": "22", "challenge": "x" * 43},
        {"port": "8123"},
        {"challenge": "x" * 43},
        {"port": "8123", "challenge": "too short"},
        {"port": "99999", "challenge": "x" * 43},
    ],
)
def test_a_program_that_is_named_wrongly_is_refused(campus: World, query: dict[str, str]) -> None:
    assert campus.get("/oidc/campus/start", None, params=query).status_code == 422
