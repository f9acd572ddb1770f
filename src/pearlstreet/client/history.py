"""The history of jobs as a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun

if TYPE_CHECKING:
    from pearlstreet.client import results


class Trace(Noun):
    """Jobs that ran and ended, to be replayed."""

    def jobs(
        self,
        *,
        org: str | None = None,
        since: str | None = None,
        until: str | None = None,
        names: bool = False,
        limit: int = 500,
    ) -> Iterator[results.Past]:
        """Yield jobs for a trace, oldest first; operators get all tenants' jobs under pseudonyms, or with `names`. `limit` is the size of a page."""
        return self._pages(
            "/trace", org=org, **{"from": since, "to": until}, names=str(names).lower(), limit=limit
        )
