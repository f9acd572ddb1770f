"""Numbered pages of lists that are small enough to load completely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pearlstreet.console.page_request import PER_PAGE, PageRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageSlice(Generic[T]):
    """One page of a list."""

    rows: Sequence[T]
    number: int
    """Page number, from 1."""
    last: int
    count: int
    """Number of rows in the whole list."""
    first_row: int
    """Position of the page's first row in the list, from 1; 0 for an empty list."""


def page_number(request: PageRequest) -> int:
    """Return the page number in the query; 1 by default."""
    written = request.query.get("page", "1")
    return int(written) if written.isdecimal() and written.isascii() and len(written) < 8 else 1


def cut(rows: Sequence[T], number: int, per_page: int = PER_PAGE) -> PageSlice[T]:
    """PURE: Return a page of `rows`; a number beyond the end gives the last page."""
    last = max(1, -(-len(rows) // per_page))
    at = min(max(number, 1), last)
    start = (at - 1) * per_page
    return PageSlice(rows[start : start + per_page], at, last, len(rows), start + 1 if rows else 0)
