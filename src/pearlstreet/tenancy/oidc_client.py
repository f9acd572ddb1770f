"""Client of an OpenID Connect provider: fetches metadata, keys and tokens, with limits on size and time.

It uses the authorisation code flow with PKCE (RFC 7636). Every URL passes the SSRF guard `check_outgoing`, and the
connection goes to the address that was checked.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from joserfc.jwk import KeySet

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.errors import InvalidInput, Unauthenticated, Unavailable
from pearlstreet.base.text import Text, text
from pearlstreet.base.urls import CheckedUrl, Resolve, check_outgoing
from pearlstreet.tenancy.oidc import (
    TOKEN_MAX,
    Identity,
    OidcProvider,
    challenge,
    pick_key,
    read_keys,
    token_header,
    untrusted,
    verify_id_token,
)
from pearlstreet.tenancy.outgoing import NoAnswer, resolve, send

ANSWER_MAX_BYTES = 1 << 20
CACHED_S = 3600.0
REFETCH_AFTER_S = 10.0
"""Shortest time in seconds between two fetches of the keys, which an unknown key id triggers."""


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class OidcClient:
    """Client of one provider; caches its metadata and keys for an hour. Threads may share it."""

    def __init__(self, provider: OidcProvider, clock: Clock, *, resolve: Resolve = resolve) -> None:
        self.provider = provider
        self._clock = clock
        self._resolve = resolve
        self._lock = threading.Lock()
        self._metadata: tuple[float, _Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def authorization_url(self, *, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        """Return the provider's URL for the browser. Raises Unavailable while the provider does not answer."""
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.provider.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self._discover().authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def exchange(self, *, code: str, verifier: str, redirect_uri: str) -> str:
        """Return the ID token for an authorisation code. Raises Unauthenticated when the provider refuses the code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if self.provider.client_secret is None:
            form["client_id"] = self.provider.client_id
        else:
            # RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
            pair = f"{quote(self.provider.client_id, '')}:{quote(self.provider.client_secret, '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        answer = self._call("POST", self._discover().token_endpoint, form=form, headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > TOKEN_MAX:
            raise untrusted(text("it contains no ID token"))
        return token

    def identity(self, id_token: str, *, nonce: str) -> Identity:
        """Return the identity in an ID token after validating signature and claims. Raises Unauthenticated."""
        header = token_header(id_token, self.provider)
        key = pick_key(self._key_set(anew=False), header) or pick_key(self._key_set(anew=True), header)
        if key is None:
            raise untrusted(text("no key of the provider matches it"))
        now_s = self._clock.now_us() // US_PER_S
        return verify_id_token(id_token, key, self.provider, nonce=nonce, now_s=now_s)

    def _discover(self) -> _Metadata:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._metadata is None or now_s > self._metadata[0] + CACHED_S:
                address = self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
                self._metadata = (now_s, _metadata(self._call("GET", address), self.provider))
            return self._metadata[1]

    def _key_set(self, *, anew: bool) -> KeySet:
        address = self._discover().jwks_uri
        with self._lock:
            now_s = self._clock.monotonic_s()
            age_s = CACHED_S + 1 if self._keys is None else now_s - self._keys[0]
            if self._keys is None or age_s > CACHED_S or (anew and age_s > REFETCH_AFTER_S):
                self._keys = (now_s, read_keys(self._call("GET", address)))
            return self._keys[1]

    def _call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, object]:
        target = self._check(url)
        sent = {"Accept": "application/json", **(headers or {})}
        content = None
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode(form).encode()
        try:
            status, body = send(method, target, headers=sent, content=content, most_bytes=ANSWER_MAX_BYTES)
        except NoAnswer as error:
            raise _silent(self.provider, text("{problem}", problem=str(error))) from error
        if form is not None and status in (400, 401):
            raise Unauthenticated(
                text("The sign-in provider refused the sign-in"), hint=text("Start it again")
            )
        if status != 200:
            raise _silent(self.provider, text("it answers {status}", status=status))
        return _object(body, self.provider)

    def _check(self, url: str) -> CheckedUrl:
        private = self.provider.private
        schemes = ("http", "https") if private else ("https",)
        try:
            return check_outgoing(url, self._resolve, field="issuer", schemes=schemes, allow_private=private)
        except InvalidInput as error:
            raise _silent(self.provider, error.message) from error


def _metadata(document: Mapping[str, object], provider: OidcProvider) -> _Metadata:
    if document.get("issuer") != provider.issuer:
        raise _silent(provider, text("its issuer differs from the settings"))
    found = [document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(isinstance(item, str) and len(item) <= 2048 for item in found):
        raise _silent(provider, text("its metadata is incomplete"))
    if not str(found[0]).startswith(("https://", "http://") if provider.private else "https://"):
        raise _silent(provider, text("its metadata is incomplete"))
    return _Metadata(*(str(item) for item in found))


def _object(body: bytes, provider: OidcProvider) -> Mapping[str, object]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _silent(provider, text("its answer is not a JSON object"))
    return answer


def _silent(provider: OidcProvider, problem: Text) -> Unavailable:
    return Unavailable(
        text("The sign-in provider {name} cannot be used: {problem}", name=provider.name, problem=problem),
        retry_after_s=30,
    )
