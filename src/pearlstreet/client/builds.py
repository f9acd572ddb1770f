"""Builds of environments, images and sources, as the client reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, at

if TYPE_CHECKING:
    from pearlstreet.client import results


class Builds(Noun):
    """What is built before jobs can start."""

    def list(self, *, limit: int = 100, **filters: object) -> Iterator[results.Build]:
        """Yield builds, newest first; filters: org, state. `limit` is the size of a page."""
        return self._pages("/builds", limit=limit, **filters)

    def get(self, build: str) -> results.Build:
        """Return a build with the end of its log."""
        found: results.Build = self._get(at("builds", build))
        return found
