"""PURE checks of slugs, login names, labels, e-mail addresses and page positions."""

from __future__ import annotations

import re
import unicodedata

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text

SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")
LOGIN = re.compile(r"^[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?\Z")
EMAIL = re.compile(r"^[^@\s]{1,64}@[^@\s]{1,189}\Z")
RESERVED = frozenset(
    [
        "admin",
        "api",
        "app",
        "assets",
        "center",
        "console",
        "datasets",
        "docs",
        "gateway",
        "health",
        "hub",
        "login",
        "logout",
        "metrics",
        "models",
        "new",
        "pearl",
        "pearlstreet",
        "public",
        "settings",
        "static",
        "system",
        "v1",
    ]
)
"""Slugs that are refused because they look like parts of the center's own URLs."""


def check_slug(value: str, field: str = "slug") -> str:
    """Return the slug. Raises InvalidInput unless it is 1–40 of a–z, 0–9 and single inner hyphens, and not reserved."""
    if not SLUG.fullmatch(value) or "--" in value:
        raise _invalid(
            field,
            "{value} is not a slug: use 1–40 lower-case letters, digits and single inner hyphens",
            value,
        )
    if field == "slug" and value in RESERVED:
        raise _invalid(field, "{value} is reserved; choose another slug", value)
    return value


def check_login(value: str) -> str:
    """Return the login name. Raises InvalidInput unless it is 1–40 of a–z, 0–9 and inner `.`, `_`, `-`."""
    if not LOGIN.fullmatch(value):
        raise _invalid(
            "name",
            "{value} is not a login name: use 1–40 lower-case letters, digits and inner . _ -",
            value,
        )
    return value


def check_label(value: str, field: str, limit: int) -> str:
    """Return a label without outer spaces, in NFC. Raises InvalidInput for control characters or above `limit` characters."""
    cleaned = unicodedata.normalize("NFC", value).strip()
    if len(cleaned) > limit:
        raise InvalidInput(
            text("{field} is longer than {limit} characters", field=field, limit=limit),
            problems=[
                Problem(field, text("{field} is longer than {limit} characters", field=field, limit=limit))
            ],
        )
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in cleaned):
        raise _invalid(field, "{value} contains control characters", ascii(cleaned)[:60])
    return cleaned


def check_email(value: str | None) -> str | None:
    """Return the e-mail address or None. Raises InvalidInput for a malformed address. Never used as an identity."""
    if value is None or EMAIL.fullmatch(value):
        return value
    raise _invalid("email", "{value} is not an e-mail address", value)


def check_after(after: str | None, prefix: str) -> str | None:
    """Return the id after which a list continues. Raises InvalidInput for anything but an id with this prefix."""
    if after is None or is_id(after, prefix):
        return after
    raise _invalid("after", "{value} is not a valid position in a list", ascii(after))


def _invalid(field: str, template: str, value: str) -> InvalidInput:
    message = text(template, value=value[:80])
    return InvalidInput(message, problems=[Problem(field, message)])
