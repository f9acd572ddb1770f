"""The console's cookies (session, preferences, notice for the next page), its CSRF token and redirect check."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import Response

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import Text, from_json, text

SESSION = "pearl_session"
LANGUAGE, THEME, ORG, NOTICE, OIDC = (
    "pearl_language",
    "pearl_theme",
    "pearl_org",
    "pearl_notice",
    "pearl_oidc",
)
THEMES = ("auto", "light", "dark")
YEAR_S = 31_536_000
_LIFE_S = {SESSION: 43_200, LANGUAGE: YEAR_S, THEME: YEAR_S, ORG: YEAR_S, NOTICE: 60, OIDC: 600}


def session_name(secure: bool) -> str:
    """Return the session cookie's name; over TLS its `__Host-` prefix stops other hosts and plain HTTP from setting it."""
    return f"__Host-{SESSION}" if secure else SESSION


def put(answer: Response, name: str, value: str | None, *, secure: bool) -> None:
    """Set a cookie, or delete it if `value` is None."""
    shown = session_name(secure) if name == SESSION else name
    if value is None:
        answer.delete_cookie(shown, path="/", secure=secure, httponly=True, samesite="lax")
        return
    answer.set_cookie(
        shown, value, max_age=_LIFE_S[name], path="/", secure=secure, httponly=True, samesite="lax"
    )


def write_notice(notice: Text) -> str:
    """Encode a message for the next page."""
    return base64.urlsafe_b64encode(json.dumps(notice.to_json()).encode()).decode()


def read_notice(value: str | None) -> Text | None:
    """Decode a value of `write_notice`; None for anything else."""
    if not value or len(value) > 3000:
        return None
    try:
        notice = from_json(json.loads(base64.urlsafe_b64decode(value)))
        notice.render("en"), notice.render("zh-CN")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    return notice


def form_token(credential: str) -> str:
    """Return the CSRF token of a session, which only pages of the console shown in that session contain."""
    return hmac.new(credential.encode(), b"console form", hashlib.sha256).hexdigest()


def check_origin(headers: Mapping[str, str], host: str) -> None:
    """Refuse cross-site forms (CSRF). Raises Forbidden."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if origin is not None and origin != "null":
        foreign = foreign or urlsplit(origin).netloc.lower() != host.lower()
    elif origin == "null":
        foreign = True
    if foreign:
        raise Forbidden(
            text("The form came from another site"), hint=text("Open the console directly and try again")
        )


def check_token(credential: str, token: str) -> None:
    """Refuse a form without the session's CSRF token. Raises Forbidden."""
    if not hmac.compare_digest(form_token(credential).encode(), token.encode("utf-8", "replace")):
        raise Forbidden(text("The form is out of date"), hint=text("Reload the page and repeat the action"))


def safe_path(value: str | None) -> str:
    """Return an untrusted redirect target if it is a path of the console, else "/" (no open redirect)."""
    if not value or not value.startswith("/") or value.startswith("//") or len(value) > 2000:
        return "/"
    if any(letter in "\\\r\n\t\0" or ord(letter) < 32 for letter in value):
        return "/"
    parts = urlsplit(value)
    return value if not parts.scheme and not parts.netloc else "/"
