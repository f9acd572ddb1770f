"""What the methods on every kind of thing share: addresses, pages, JSON in and out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from pearlstreet.client.transport import Transport

PREFIX = "/api/v1"
T = TypeVar("T")
Rows = list[T]
"""A list; `list` is a method of many nouns."""


def at(*parts: str) -> str:
    """Return an address of its parts; a name with a slash or a question mark in it stays one part."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Noun:
    """Methods on one kind of thing."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(self, path: str, **params: object) -> Any:
        return self._transport.request("GET", PREFIX + path, params=params).json()

    def _send(self, method: str, path: str, body: object = None, **params: object) -> Any:
        answer = self._transport.request(method, PREFIX + path, json=body, params=params)
        return answer.json() if answer.content else None

    def _raw(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "",
        **params: object,
    ) -> bytes:
        """Send a request whose body or answer is not JSON; returns the answer's bytes."""
        headers = {"content-type": content_type} if content_type else {}
        answer = self._transport.request(
            method, PREFIX + path, content=content, params=params, headers=headers
        )
        return answer.content

    def _pages(self, path: str, **params: object) -> Iterator[Any]:
        cursor = None
        while True:
            page = self._get(path, cursor=cursor, **params)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return


def given(**values: object) -> dict[str, Any]:
    """Return the values that are not None: what is left out keeps the center's default."""
    return {name: value for name, value in values.items() if value is not None}
