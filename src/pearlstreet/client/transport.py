"""One HTTP exchange with a center: key, language, retries that are safe, problem documents as exceptions."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from pearlstreet.base.errors import ConfigurationError, PearlError, Problem
from pearlstreet.base.text import Text, text

TRIES = 4
"""Attempts of a read, or of a write with an Idempotency-Key, whose answer was lost or that must be sent again later."""
PAUSE_S = 0.5
PAUSE_MAX_S = 10.0
COME_BACK = frozenset({429, 503})
Body = bytes | Callable[[], Iterator[bytes]]
"""Bytes, or what makes them anew for each try."""


class Unreachable(PearlError):
    """No center answers at the address."""

    code, status = "unreachable", 503


class ApiError(PearlError):
    """What a center answered instead of the result; `code` and `status` are the center's."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        problems = [
            Problem(
                field=str(item.get("field", "")),
                message=_verbatim(item.get("message", "")),
                line=item.get("line"),
                column=item.get("column"),
                file=item.get("file"),
                hint=_verbatim(item["hint"]) if item.get("hint") else None,
            )
            for item in body.get("problems", ())
        ]
        super().__init__(
            _verbatim(body.get("detail") or body.get("error") or f"HTTP {status}"),
            hint=_verbatim(body["hint"]) if body.get("hint") else None,
            problems=problems,
            retry_after_s=body.get("retry_after_s"),
        )
        self.body = dict(body)
        self.code = str(body.get("code", "error"))  # type: ignore[misc]
        self.status = status  # type: ignore[misc]


def _verbatim(words: object) -> Text:
    return Text("{words}", {"words": str(words)})


class Transport:
    """Keeps connections to one center. Safe for threads."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        language: str = "en",
        timeout_s: float = 30.0,
        http: httpx.BaseTransport | None = None,
        verify: bool | str = True,
    ) -> None:
        headers = {"accept-language": language, "user-agent": "pearlstreet-client"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout_s,
            transport=http,
            verify=_trust(url, verify),
            follow_redirects=False,
        )
        self.url = url

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Body | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Return one exchange, repeated while that is safe. Raises ApiError, Unreachable."""
        sent = dict(headers or {})
        if method != "GET":
            sent.setdefault("idempotency-key", str(uuid.uuid4()))
        known = {name: value for name, value in (params or {}).items() if value is not None}
        within = self._http.timeout if timeout_s is None else httpx.Timeout(timeout_s)
        for left in reversed(range(TRIES)):
            pause_s = PAUSE_S * 2 ** (TRIES - left - 1)
            body = content() if callable(content) else content
            try:
                answer = self._http.request(
                    method, path, json=json, content=body, params=known, headers=sent, timeout=within
                )
            except httpx.TransportError as error:
                if left and not isinstance(error, httpx.ConnectError):
                    time.sleep(pause_s)
                    continue
                raise self._unreachable(error) from None
            wait_s = _come_back_s(answer, pause_s)
            if wait_s is not None and left:
                time.sleep(wait_s)
                continue
            return _checked(answer)
        raise AssertionError("unreachable")

    @contextmanager
    def stream(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[httpx.Response]:
        """Yield a response read as it comes. Raises ApiError, Unreachable."""
        known = {name: value for name, value in (params or {}).items() if value is not None}
        timeout = httpx.Timeout(30.0, read=None)
        try:
            with self._http.stream("GET", path, params=known, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    _checked(answer)
                yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        hint = text("pearl up starts one; pearl login chooses another address")
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            hint = text("If its certificate is of your own making, name its authority: pearl login --ca FILE")
        return Unreachable(
            text(
                "No center answers at {url}: {problem}",
                url=self.url,
                problem=str(error) or type(error).__name__,
            ),
            hint=hint,
        )


def _trust(url: str, verify: bool | str) -> ssl.SSLContext | bool:
    """Whose certificates count. Without TLS none are read: that takes longer than a request to a center at hand."""
    if isinstance(verify, str):
        return _trusting(verify)
    return verify and not url.startswith("http://")


def _trusting(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            text(
                "{file} cannot be used as a certificate authority: {problem}",
                file=ca,
                problem=getattr(error, "strerror", None) or str(error),
            )
        ) from None


def _come_back_s(answer: httpx.Response, pause_s: float) -> float | None:
    """Return how long to wait before asking again; None when the answer is to be taken as it is."""
    if answer.status_code not in COME_BACK:
        return None
    try:
        wanted_s = float(answer.headers.get("retry-after", pause_s))
    except ValueError:
        wanted_s = pause_s
    return wanted_s if wanted_s <= PAUSE_MAX_S else None


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code < 400:
        return answer
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": answer.text[:500]}
    raise ApiError(answer.status_code, body if isinstance(body, dict) else {"detail": str(body)})
