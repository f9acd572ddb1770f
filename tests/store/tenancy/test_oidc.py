"""Sign-in through a real OpenID Connect provider, running as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.engines.oidc.provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URI,
    RunningProvider,
    running_provider,
)

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.errors import Conflict, Forbidden, Unauthenticated, Unavailable
from pearlstreet.tenancy import federation, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.federation import Begun
from pearlstreet.tenancy.oidc import AutoCreate, OidcProvider
from pearlstreet.tenancy.oidc_client import OidcClient
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.sessions import SignedIn

from .conftest import PEER, Center


@pytest.fixture(scope="module")
def running() -> Iterator[RunningProvider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def settings(running: RunningProvider) -> OidcProvider:
    return OidcProvider(
        "school",
        running.issuer,
        CLIENT_ID,
        CLIENT_SECRET,
        auto_create=AutoCreate("acme", OrgRole.VIEWER),
        private=True,
    )


@pytest.fixture
def center(center: Center) -> Center:
    """With the real time: the provider's tokens carry it."""
    real = replace(center, store=replace(center.store, clock=SystemClock()))
    real.org("acme")
    return real


@pytest.fixture
def client(settings: OidcProvider) -> OidcClient:
    return OidcClient(settings, SystemClock())


def _finish(center: Center, client: OidcClient, begun: Begun, back: dict[str, str]) -> SignedIn:
    return federation.finish(
        center.store,
        client,
        state=back["state"],
        code=back["code"],
        binding=begun.binding,
        peer=PEER,
        issuer=back.get("iss"),
    )


def _sign_in(center: Center, client: OidcClient, running: RunningProvider, name: str) -> SignedIn:
    begun = federation.begin(center.store, client, redirect_uri=REDIRECT_URI)
    return _finish(center, client, begun, running.sign_in(begun.url, name))


def test_a_stranger_becomes_a_member_once(
    center: Center, client: OidcClient, running: RunningProvider
) -> None:
    acme = orgs.get_org(center.store, center.system, "acme")
    first = _sign_in(center, client, running, "ada")
    assert (first.user.name, first.user.display_name) == ("ada", "Name of ada")
    assert authenticate(center.store, first.credential).orgs == {acme.id: OrgRole.VIEWER}
    assert _sign_in(center, client, running, "ada").user.id == first.user.id
    assert _sign_in(center, client, running, "ben").user.id != first.user.id


def test_a_known_name_or_address_is_no_identity(
    center: Center, client: OidcClient, running: RunningProvider
) -> None:
    """Somebody whom the provider calls `security` does not become our security operator."""
    users.create_user(center.store, center.security, "ada", email="ada@example.com")
    for name in ("ada", "security"):
        signed_in = _sign_in(center, client, running, name)
        ours = users.get_user(center.store, center.security, name)
        assert signed_in.user.id != ours.id and signed_in.user.operator_role is None


def test_without_a_rule_only_linked_identities_enter(
    center: Center, settings: OidcProvider, running: RunningProvider
) -> None:
    client = OidcClient(replace(settings, auto_create=None), SystemClock())
    with pytest.raises(Forbidden, match="no account"):
        _sign_in(center, client, running, "sam")
    users.create_user(center.store, center.security, "sam2", operator_role=OperatorRole.SYSTEM)
    federation.link_identity(center.store, center.security, "sam2", running.issuer, "sam")
    with pytest.raises(Conflict):
        federation.link_identity(center.store, center.security, "security", running.issuer, "sam")
    assert _sign_in(center, client, running, "sam").user.operator_role is OperatorRole.SYSTEM
    users.suspend_user(center.store, center.security, "sam2")
    with pytest.raises(Unauthenticated, match="suspended"):
        _sign_in(center, client, running, "sam")
    users.resume_user(center.store, center.security, "sam2")
    federation.unlink_identity(center.store, center.security, running.issuer, "sam")
    with pytest.raises(Forbidden, match="no account"):
        _sign_in(center, client, running, "sam")


def test_a_state_works_once_in_its_browser_and_for_ten_minutes(
    center: Center, client: OidcClient, running: RunningProvider
) -> None:
    begun = federation.begin(center.store, client, redirect_uri=REDIRECT_URI)
    back = running.sign_in(begun.url, "ada")
    for wrong in (
        replace(begun, binding="another browser"),
        replace(begun, binding=""),
    ):
        with pytest.raises(Unauthenticated, match="another browser"):
            _finish(center, client, wrong, back)
    with pytest.raises(Unauthenticated):
        _finish(center, client, begun, {**back, "state": "forged"})
    _finish(center, client, begun, back)
    with pytest.raises(Unauthenticated, match="has ended"):
        _finish(center, client, begun, back)


def test_the_answer_of_another_issuer_is_refused(
    center: Center, client: OidcClient, running: RunningProvider
) -> None:
    begun = federation.begin(center.store, client, redirect_uri=REDIRECT_URI)
    back = running.sign_in(begun.url, "ada")
    assert back["iss"] == running.issuer
    with pytest.raises(Unauthenticated):
        _finish(center, client, begun, {**back, "iss": "https://evil.example"})


def test_a_code_of_another_flow_is_refused_by_pkce(
    center: Center, client: OidcClient, running: RunningProvider
) -> None:
    mine, victims = (federation.begin(center.store, client, redirect_uri=REDIRECT_URI) for _ in range(2))
    back, stolen = running.sign_in(mine.url, "eve"), running.sign_in(victims.url, "ada")
    with pytest.raises(Unauthenticated, match="refused"):
        _finish(center, client, mine, {**back, "code": stolen["code"]})


def test_a_token_for_another_nonce_client_or_issuer_is_refused(
    center: Center, settings: OidcProvider, client: OidcClient, running: RunningProvider
) -> None:
    verifier = "v" * 43
    url = client.authorization_url(state="s", nonce="asked", verifier=verifier, redirect_uri=REDIRECT_URI)
    code = running.sign_in(url, "ada")["code"]
    token = client.exchange(code=code, verifier=verifier, redirect_uri=REDIRECT_URI)
    assert client.identity(token, nonce="asked").subject == "ada"
    with pytest.raises(Unauthenticated, match="nonce"):
        client.identity(token, nonce="another")
    other = OidcClient(replace(settings, client_id="someone-else"), SystemClock())
    with pytest.raises(Unauthenticated, match="another client"):
        other.identity(token, nonce="asked")
    pinned = OidcClient(replace(settings, algorithms=("ES256",)), SystemClock())
    with pytest.raises(Unauthenticated, match="algorithm"):
        pinned.identity(token, nonce="asked")
    header, payload, signature = token.split(".")
    with pytest.raises(Unauthenticated, match="signature"):
        client.identity(f"{header}.{payload}x.{signature}", nonce="asked")
    with pytest.raises(Unauthenticated, match="algorithm"):
        client.identity(f"eyJhbGciOiJub25lIn0.{payload}.", nonce="asked")


def test_a_wrong_client_secret_and_a_wrong_issuer_are_told_apart(
    center: Center, settings: OidcProvider, running: RunningProvider
) -> None:
    wrong = OidcClient(replace(settings, client_secret="guess"), SystemClock())
    with pytest.raises(Unauthenticated, match="refused"):
        _sign_in(center, wrong, running, "ada")
    slash = OidcClient(replace(settings, issuer=running.issuer + "/"), SystemClock())
    with pytest.raises(Unavailable, match="issuer differs"):
        federation.begin(center.store, slash, redirect_uri=REDIRECT_URI)


def test_an_inner_provider_needs_the_operators_word(center: Center, settings: OidcProvider) -> None:
    public = OidcClient(replace(settings, private=False), SystemClock())
    with pytest.raises(Unavailable):
        federation.begin(center.store, public, redirect_uri=REDIRECT_URI)


def test_a_provider_that_is_down_is_said_so(center: Center, settings: OidcProvider) -> None:
    down = OidcClient(replace(settings, issuer="http://127.0.0.1:9"), SystemClock())
    with pytest.raises(Unavailable) as refused:
        federation.begin(center.store, down, redirect_uri=REDIRECT_URI)
    assert refused.value.retry_after_s
