"""Cursor pagination: newest rows first; each page ends with an opaque cursor for the next one."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LIMIT_MAX = 500
_KEY = re.compile(r"[A-Za-z0-9_./:-]{1,200}")
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Maximum number of rows of a page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the previous page")]


class Page(BaseModel, Generic[M]):
    """One page of a list."""

    items: list[M]
    next_cursor: str | None = None


def read_cursor(cursor: str | None) -> str | None:
    """Return the sort key in a cursor. Raises InvalidInput for text that is no cursor."""
    if cursor is None:
        return None
    try:
        key = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError, ValueError):
        raise _not_ours() from None
    if not _KEY.fullmatch(key):
        raise _not_ours()
    return key


def read_number(cursor: str | None) -> int | None:
    """Return the row number in a cursor. Raises InvalidInput."""
    key = read_cursor(cursor)
    if key is None:
        return None
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        raise _not_ours()
    return int(key)


def _not_ours() -> InvalidInput:
    return InvalidInput(
        text("The cursor is invalid"),
        problems=[Problem("cursor", text("Use next_cursor of the previous page, or omit it"))],
    )


def page(
    rows: Sequence[T], limit: int, key: Callable[[T], str], render: Callable[[T], object]
) -> dict[str, object]:
    """Return a page of up to `limit + 1` rows; the extra row only shows that another page follows."""
    shown = rows[:limit]
    following = None
    if len(rows) > limit:
        following = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode()
    return {"items": [render(row) for row in shown], "next_cursor": following}
