"""The checks of an ID token, with keys and tokens made here; the real provider is tried in tests/store/tenancy."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from pearlstreet.base.errors import ConfigurationError, Unauthenticated
from pearlstreet.tenancy import oidc
from pearlstreet.tenancy.oidc import OidcProvider

NOW_S = 1_700_000_000
PROVIDER = OidcProvider("school", "https://id.example.org", "pearl")
RIGHT: dict[str, Any] = {
    "iss": PROVIDER.issuer,
    "aud": "pearl",
    "sub": "248289761001",
    "nonce": "n",
    "iat": NOW_S,
    "exp": NOW_S + 300,
}
KEY = RSAKey.generate_key(2048, {"kid": "one"})


def verify(claims: dict[str, Any], **more: Any) -> oidc.Identity:
    token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
    return oidc.verify_id_token(token, KEY, PROVIDER, nonce="n", now_s=more.get("now_s", NOW_S))


def test_a_right_token_names_its_subject_only() -> None:
    identity = verify({**RIGHT, "email": "a@example.org", "preferred_username": "a\nb", "name": 7})
    assert (identity.issuer, identity.subject) == (PROVIDER.issuer, RIGHT["sub"])
    assert (identity.email, identity.login, identity.display_name) == ("a@example.org", None, None)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "https://id.example.org/"),
        ("iss", "https://evil.example"),
        ("iss", None),
        ("aud", "other"),
        ("aud", ["pearl", "other"]),
        ("aud", []),
        ("aud", None),
        ("azp", "other"),
        ("sub", ""),
        ("sub", None),
        ("sub", 7),
        ("sub", "x" * 256),
        ("sub", "a\x00"),
        ("nonce", "m"),
        ("nonce", None),
        ("exp", NOW_S - 60),
        ("exp", None),
        ("exp", "soon"),
        ("exp", True),
        ("exp", 1e300),
        ("iat", NOW_S + 61),
        ("iat", NOW_S - 661),
        ("iat", None),
        ("nbf", NOW_S + 61),
        ("nbf", "never"),
    ],
)
def test_every_claim_must_be_right(claim: str, value: object) -> None:
    with pytest.raises(Unauthenticated):
        verify({name: item for name, item in {**RIGHT, claim: value}.items() if item is not None})


def test_clocks_may_differ_by_a_minute() -> None:
    verify({**RIGHT, "exp": NOW_S - 59, "iat": NOW_S - 300})
    verify({**RIGHT, "iat": NOW_S + 60, "nbf": NOW_S + 60})
    verify({**RIGHT, "aud": ["pearl"], "azp": "pearl"})


def test_algorithms_are_pinned() -> None:
    secret = OctKey.import_key("a shared secret that is long enough to sign")
    forged = jwt.encode({"alg": "HS256", "kid": "one"}, RIGHT, secret)
    other = jwt.encode({"alg": "ES256", "kid": "one"}, RIGHT, ECKey.generate_key("P-256"))
    unsigned = "eyJhbGciOiJub25lIiwia2lkIjoib25lIn0." + forged.split(".")[1] + "."
    for token in (forged, other, unsigned):
        with pytest.raises(Unauthenticated):
            oidc.verify_id_token(token, KEY, PROVIDER, nonce="n", now_s=NOW_S)
    for token in (forged, unsigned):
        with pytest.raises(Unauthenticated, match="algorithm"):
            oidc.token_header(token, PROVIDER)
    for algorithms in (("HS256",), ("none",), ()):
        with pytest.raises(ConfigurationError):
            OidcProvider("x", "https://id.example.org", "pearl", algorithms=algorithms)


def test_only_public_signing_keys_of_a_set_are_used() -> None:
    public = KEY.as_dict(private=False)
    shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "one"}
    for_encryption = {**public, "kid": "two", "use": "enc"}
    key_set = oidc.read_keys({"keys": [shared, for_encryption, public, "junk", None]})
    assert [key.kid for key in key_set.keys] == ["one"]
    assert oidc.pick_key(key_set, {"kid": "one"}) is not None
    assert oidc.pick_key(key_set, {}) is not None
    assert oidc.pick_key(key_set, {"kid": "three"}) is None
    assert (
        len(oidc.read_keys({"keys": [{**public, "kid": str(n)} for n in range(100)]}).keys) <= oidc.KEYS_MAX
    )


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused_without_a_fault(token: str) -> None:
    with pytest.raises(Unauthenticated):
        oidc.token_header(token, PROVIDER)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    )
)
def test_a_key_set_of_any_shape_is_read_or_refused(document: object) -> None:
    with suppress(Unauthenticated):
        oidc.read_keys({"keys": document})


def test_the_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    assert (
        oidc.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )
