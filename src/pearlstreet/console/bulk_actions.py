"""Bulk actions on the selected rows of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pearlstreet.base.errors import PearlError


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Number of rows on which the action succeeded, and on which it was refused."""

    done: int
    failed: int


def act_on_each(ids: Sequence[str], action: Callable[[str], object]) -> BulkResult:
    """Call an action for each row. Raises the first refusal if all are refused."""
    refusals: list[PearlError] = []
    for id_ in ids:
        try:
            action(id_)
        except PearlError as error:
            refusals.append(error)
    if refusals and len(refusals) == len(ids):
        raise refusals[0]
    return BulkResult(len(ids) - len(refusals), len(refusals))
