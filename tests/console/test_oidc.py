"""Signing in to the console through a real OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.visitors import Console, Visitor, a_console, words
from tests.engines.oidc.provider import CLIENT_ID, CLIENT_SECRET, RunningProvider, running_provider

PUBLIC = "http://127.0.0.1:9"
BACK = f"{PUBLIC}/oidc/campus/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    """The provider process; it knows the console's address and no other."""
    with running_provider(BACK) as found:
        yield found


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory, provider: RunningProvider) -> Iterator[Console]:
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
    with a_console(tmp_path_factory.mktemp("center"), oidc=oidc, public_url=PUBLIC) as made:
        yield made


def _query(visitor: Visitor, provider: RunningProvider, user: str) -> str:
    """Start as a browser does, sign in at the provider; where it sends us back to."""
    answer = visitor.get("/oidc/campus/start")
    assert answer.status_code == 303 and answer.headers["location"].startswith(provider.issuer)
    line = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("pearl_oidc="))
    assert "httponly" in line.lower() and "samesite=lax" in line.lower()
    found = provider.sign_in(answer.headers["location"], user)
    return "/oidc/campus/callback?" + "&".join(f"{name}={value}" for name, value in found.items())


def test_the_sign_in_page_offers_the_providers(campus: Console) -> None:
    assert 'href="/oidc/campus/start"' in campus.visitor().get("/sign-in").text


def test_a_browser_signs_in_and_sees_its_overview(campus: Console, provider: RunningProvider) -> None:
    visitor = campus.visitor()
    back = _query(visitor, provider, "lin")
    answer = visitor.get(back)
    assert answer.status_code == 303 and answer.headers["location"] == "/", words(answer)
    assert "pearl_oidc" not in visitor.cookies
    page = visitor.get("/")
    assert page.status_code == 200 and "acme" in page.text
    again = campus.visitor()
    again.cookies |= visitor.cookies
    del again.cookies["pearl_session"]
    assert again.get(back).status_code == 401 and "pearl_session" not in again.cookies, "once only"
    assert visitor.get(back).status_code == 401 and visitor.get("/").status_code == 200, "who is in stays in"


def test_another_browser_cannot_finish_it(campus: Console, provider: RunningProvider) -> None:
    visitor, other = campus.visitor(), campus.visitor()
    back = _query(visitor, provider, "wang")
    assert other.get(back).status_code == 401
    assert "pearl_session" not in other.cookies
    visitor.get(back)
    assert "pearl_session" in visitor.cookies


def test_what_is_not_an_answer_to_us_signs_nobody_in(campus: Console) -> None:
    visitor = campus.visitor()
    visitor.get("/oidc/campus/start")
    for query in ("", "state=x&code=y", "error=access_denied", "state=" + "x" * 400):
        answer = visitor.get(f"/oidc/campus/callback?{query}")
        assert answer.status_code == 401 and "pearl_session" not in visitor.cookies, query
    assert visitor.get("/oidc/nowhere/start").status_code == 404
    assert visitor.get("/oidc/nowhere/callback").status_code == 404


def test_a_provider_that_is_down_says_when_to_come_back(campus: Console) -> None:
    answer = campus.visitor().get("/oidc/down/start")
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1:9" not in answer.text
