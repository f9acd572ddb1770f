"""PURE part of OpenID Connect: the settings of a provider, and the validation of ID tokens (OpenID Connect Core 1.0).

Issuer, audience, algorithm, times and nonce must match exactly. An identity is the pair (issuer, subject), never an
e-mail address, because a provider may reassign an address to another person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pearlstreet.base.errors import ConfigurationError, Unauthenticated
from pearlstreet.base.text import Text, text
from pearlstreet.tenancy.scopes import OrgRole

SKEW_S = 60
TOKEN_AGE_MAX_S = 600
"""Largest age of an ID token in seconds; an older one does not belong to this sign-in."""
TOKEN_MAX = 64 << 10
KEYS_MAX = 32
ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


@dataclass(frozen=True, slots=True)
class AutoCreate:
    """Provisioning rule: an identity without an account gets one, as a member of `org` (a slug)."""

    org: str
    role: OrgRole = OrgRole.MEMBER


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """Settings of one provider. With `auto_create` None only linked identities may sign in."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    auto_create: AutoCreate | None = None
    private: bool = False
    """Whether the provider may have an address on the internal network and use plain HTTP."""

    def __post_init__(self) -> None:
        wrong = sorted(set(self.algorithms) - ASYMMETRIC)
        if wrong or not self.algorithms:
            raise ConfigurationError(
                text("The sign-in provider {name} cannot use the algorithm {algorithm}", name=self.name,
                     algorithm=", ".join(wrong) or "-"),
                hint=text("Use one of {algorithms}", algorithms=", ".join(sorted(ASYMMETRIC))),
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity in an ID token. `issuer` and `subject` identify it; the other fields only suggest names for an account."""

    issuer: str
    subject: str
    login: str | None
    display_name: str | None
    email: str | None


def challenge(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def verify_id_token(id_token: str, key: Any, provider: OidcProvider, *, nonce: str, now_s: int) -> Identity:
    """Return the identity in an ID token after validating signature and claims. Raises Unauthenticated."""
    try:
        claims = jwt.decode(id_token, key, algorithms=list(provider.algorithms)).claims
    except (JoseError, ValueError) as error:
        raise untrusted(text("its signature is invalid")) from error
    check_claims(claims, provider, nonce=nonce, now_s=now_s)
    return Identity(
        provider.issuer,
        claims["sub"],
        _word(claims.get("preferred_username")),
        _word(claims.get("name")),
        _word(claims.get("email")),
    )


def check_claims(claims: Mapping[str, object], provider: OidcProvider, *, nonce: str, now_s: int) -> None:
    """Validate the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7). Raises Unauthenticated."""
    audience, us = claims.get("aud"), provider.client_id
    expires, issued, subject = claims.get("exp"), claims.get("iat"), claims.get("sub")
    wrong = None
    if claims.get("iss") != provider.issuer:
        wrong = text("it was issued by another issuer")
    elif audience not in (us, [us]) or claims.get("azp") not in (None, us):
        wrong = text("it was issued for another client")
    elif not _is_time(expires) or now_s >= expires + SKEW_S:
        wrong = text("it has expired")
    elif not _is_time(issued) or issued > now_s + SKEW_S or issued < now_s - TOKEN_AGE_MAX_S - SKEW_S:
        wrong = text("it was not issued just now")
    elif "nbf" in claims and (not _is_time(claims["nbf"]) or claims["nbf"] > now_s + SKEW_S):
        wrong = text("it is not valid yet")
    elif not hmac.compare_digest(str(claims.get("nonce")).encode("utf-8", "replace"), nonce.encode()):
        wrong = text("it belongs to another sign-in (nonce)")
    elif not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        wrong = text("it has no valid subject")
    if wrong is not None:
        raise untrusted(wrong)


def token_header(id_token: str, provider: OidcProvider) -> Mapping[str, object]:
    """Return the unverified header of an ID token. Raises Unauthenticated for a disallowed algorithm or no token."""
    part = id_token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError as error:
        raise untrusted(text("it is not a signed token")) from error
    if not isinstance(header, dict):
        raise untrusted(text("it is not a signed token"))
    if header.get("alg") not in provider.algorithms:
        raise untrusted(text("its algorithm is not allowed"))
    return header


def pick_key(key_set: KeySet, header: Mapping[str, object]) -> Any | None:
    """Return the key with the header's key id (without a key id: the only key), or None if it is not unique."""
    kid = header.get("kid")
    fitting = [key for key in key_set.keys if kid is None or key.kid == kid]
    return fitting[0] if len(fitting) == 1 else None


def read_keys(document: Mapping[str, object]) -> KeySet:
    """Return the public signature keys of a provider's key set. Symmetric keys are ignored. Raises Unauthenticated."""
    raw = document.get("keys")
    usable = [
        key
        for key in (raw if isinstance(raw, list) else [])[:KEYS_MAX]
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use") in (None, "sig")
    ]  # fmt: skip
    try:
        return KeySet.import_key_set({"keys": usable})
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise untrusted(text("no key of the provider matches it")) from error


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _word(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value.isprintable() else None


def untrusted(problem: Text) -> Unauthenticated:
    """Return the error for a provider's response that cannot be trusted."""
    return Unauthenticated(
        text("The sign-in provider's answer cannot be trusted: {problem}", problem=problem),
        hint=text("Start the sign-in again; if the error persists, tell a security operator"),
    )
