"""Base class of services whose commands and queries work on a store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from pearlstreet.base.services import CenterService
from pearlstreet.store.core import Store


@dataclass(frozen=True, slots=True)
class StoreService(CenterService):
    """Commands and queries of one noun on one store."""

    store: Store

    def on(self, store: Store) -> Self:
        """Return the same service on another store, such as one that writes once for an Idempotency-Key."""
        return replace(self, store=store)
