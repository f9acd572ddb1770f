"""Sign-in providers in the operator's settings, one table `[oidc.NAME]` per provider (docs/guides/sign-in.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import Text, text
from pearlstreet.base.urls import parse_outgoing
from pearlstreet.tenancy.names import SLUG
from pearlstreet.tenancy.oidc import AutoCreate, OidcProvider
from pearlstreet.tenancy.oidc_client import OidcClient
from pearlstreet.tenancy.scopes import OrgRole

_TEXTS = ("issuer", "client_id", "client_secret", "client_secret_file", "org", "role")
_LISTS = ("algorithms", "scopes")
KEYS: Mapping[str, str] = {
    "issuer": "URL of the provider (HTTPS unless `private`); required.",
    "client_id": "Client id that the provider gave the center; required.",
    "client_secret": "Client secret; none: a public client (PKCE alone).",
    "client_secret_file": "File that holds the client secret, instead of `client_secret`.",
    "org": "Organisation that new accounts join; none: only linked identities sign in.",
    "role": "Role of new accounts in `org`: `owner`, `member` or `viewer`; default `member`.",
    "algorithms": 'Signature algorithms accepted; default `["RS256", "ES256"]`.',
    "scopes": 'Scopes requested; default `["openid", "profile", "email"]`.',
    "private": "The provider is on the inner network, and plain HTTP is allowed; default `false`.",
}
"""Keys of a table [oidc.NAME] with their descriptions."""


def clients_from_settings(settings: Mapping[str, object], clock: Clock) -> dict[str, OidcClient]:
    """Return the clients by provider name, without connecting. Raises ConfigurationError with the table and key."""
    return {name: OidcClient(provider_from_settings(name, table), clock) for name, table in settings.items()}


def provider_from_settings(name: str, table: object) -> OidcProvider:
    """Return the provider that one table describes. Raises ConfigurationError with the table and key."""
    if not SLUG.fullmatch(name):
        raise _wrong(name, text("its name is not 1–40 lower-case letters, digits and hyphens"))
    if not isinstance(table, Mapping):
        raise _wrong(name, text("it is not a table"))
    unknown = sorted(str(key) for key in table if key not in KEYS)
    if unknown:
        raise _wrong(name, text("it has no key {key}", key=unknown[0][:60]))
    texts = {key: _text(name, table, key) for key in _TEXTS}
    lists = {key: _list(name, table, key) for key in _LISTS}
    private = table.get("private", False)
    if not isinstance(private, bool):
        raise _wrong(name, text("{key} must be true or false", key="private"))
    issuer = _needed(name, texts, "issuer")
    _check_issuer(name, issuer, private)
    return OidcProvider(
        name=name,
        issuer=issuer,
        client_id=_needed(name, texts, "client_id"),
        client_secret=_secret(name, texts),
        algorithms=lists["algorithms"] or ("RS256", "ES256"),
        scopes=lists["scopes"] or ("openid", "profile", "email"),
        auto_create=_rule(name, texts),
        private=private,
    )


def _check_issuer(name: str, issuer: str, private: bool) -> None:
    schemes = ("http", "https") if private else ("https",)
    try:
        parse_outgoing(issuer, field="issuer", schemes=schemes, allow_private=private)
    except InvalidInput as error:
        raise _wrong(name, error.message) from error


def _rule(name: str, texts: Mapping[str, str | None]) -> AutoCreate | None:
    org, role = texts["org"], texts["role"]
    if org is None:
        if role is not None:
            raise _wrong(name, text("{key} is missing", key="org"))
        return None
    if role not in (None, *OrgRole):
        raise _wrong(name, text("{key} must be one of {choices}", key="role", choices=", ".join(OrgRole)))
    return AutoCreate(org, OrgRole(role or OrgRole.MEMBER))


def _secret(name: str, texts: Mapping[str, str | None]) -> str | None:
    file = texts["client_secret_file"]
    if file is None:
        return texts["client_secret"]
    if texts["client_secret"] is not None:
        raise _wrong(name, text("client_secret and client_secret_file cannot be used together"))
    try:
        content = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise _wrong(name, text("{file} cannot be read", file=file)) from None
    if not content:
        raise _wrong(name, text("{file} is empty", file=file))
    return content


def _text(name: str, table: Mapping[object, object], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(name, text("{key} must be text", key=key))
    return value


def _list(name: str, table: Mapping[object, object], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, text("{key} must be a list of texts", key=key))
    return tuple(value)


def _needed(name: str, texts: Mapping[str, str | None], key: str) -> str:
    value = texts[key]
    if value is None:
        raise _wrong(name, text("{key} is missing", key=key))
    return value


def _wrong(name: str, problem: Text) -> ConfigurationError:
    return ConfigurationError(
        text(
            "The settings of the sign-in provider [oidc.{name}] are wrong: {problem}",
            name=name[:60],
            problem=problem,
        ),
        hint=text("Its keys are: {keys}", keys=", ".join(KEYS)),
    )
