"""The isolation world: two tenants with everything, and what tells the contents of one from all else."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.store.tables import metadata
from tests.api.world import World, a_world
from tests.isolation.ownership import SHARED, rows_of
from tests.isolation.tenants import Tenant, fill_tenant, finish_tenant

LONG_ENOUGH = 6
"""Characters of a text that counts as recognisable."""
MICRO = 1_000_000
RECOGNISABLE_MICRO = 1000 * MICRO
"""Smaller amounts could stand in an answer by chance."""
RECOGNISABLE_US = range(1_600_000_000_000_000, 4_000_000_000_000_000)
"""Times outside it are made up, such as "never"."""


@dataclass
class Isolation:
    """A centre with two tenants; `alder` is the one whose contents must stay its own."""

    world: World
    alder: Tenant
    birch: Tenant

    @functools.cached_property
    def document(self) -> Mapping[str, Any]:
        """The OpenAPI document."""
        found: Mapping[str, Any] = self.world.get("/openapi.json", None).json()
        return found

    def dump(self, tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
        """Every row of a tenant, by table."""
        return self.world.center.store.read(lambda tx: rows_of(tx.connection, tenant.org_id))

    def contents(self, tenant: Tenant) -> frozenset[str]:
        """Texts, times and amounts of this tenant's rows that no other tenant has and no table of the centre."""
        other = self.birch if tenant is self.alder else self.alder
        nobodys = _texts(self.dump(other)) | _texts(self._centre()) | self._without_tenant()
        return frozenset(_texts(self.dump(tenant)) - nobodys | {tenant.marker, f"{tenant.marker}-queue"})

    def _centre(self) -> dict[str, list[dict[str, Any]]]:
        queries = {name: sa.select(metadata.tables[name]) for name in SHARED}
        return self.world.center.store.read(lambda tx: {name: tx.rows(one) for name, one in queries.items()})

    def _without_tenant(self) -> set[str]:
        """What any client reads that belongs to nobody, such as the words of the OpenAPI document."""
        return {RECEIVERS_HOST, *_texts_in("", self.document)}


RECEIVERS_HOST = "127.0.0.1"
"""Host of every webhook here. A notice names it if its delivery failed, which may happen to one tenant only."""


def _texts(rows: Mapping[str, list[dict[str, Any]]]) -> set[str]:
    found: set[str] = set()
    for table_rows in rows.values():
        for row in table_rows:
            for column, value in row.items():
                found |= set(_texts_in(column, value))
    return found


def _texts_in(column: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= LONG_ENOUGH and not re.match(r"[\d.]+ ", value):
            yield value
        if value[:1] in "{[":
            try:
                yield from _texts_in(column, json.loads(value))
            except ValueError:
                return
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts_in(str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(column, inner)
    elif isinstance(value, int) and column.endswith("_us") and value in RECOGNISABLE_US:
        yield to_rfc3339(value)
    elif isinstance(value, int) and "micro" in column and abs(value) >= RECOGNISABLE_MICRO:
        yield f"{abs(value) / MICRO:,.2f}"
        yield f"{abs(value) / MICRO:.2f}"


def leaked(said: str, contents: frozenset[str], asked: str = "") -> list[str]:
    """Contents that stand in `said`; what the request itself named may be repeated."""
    return sorted(text for text in contents if text in said and text not in asked and _is_whole(text, said))


def _is_whole(text: str, said: str) -> bool:
    """Whether an amount stands there as such, and not inside a longer number."""
    if not text[0].isdigit() or not re.fullmatch(r"[\d,.]+", text):
        return True
    return re.search(rf"(?<![\d.,]){re.escape(text)}(?!\d)", said) is not None


@contextmanager
def an_isolation_world(data: Path) -> Iterator[Isolation]:
    """A centre with two filled tenants; its loops stand still from here on."""
    # Rates are no part of this: thousands of requests come from one address.
    with a_world(
        data, rate_key_per_s=100_000, rate_address_per_s=100_000, webhooks_private_allowed=True
    ) as world:
        alder, birch = fill_tenant(world, "alder", 31), fill_tenant(world, "birch", 27)
        world.runtime.decisions.flush()
        for tenant in (alder, birch):
            finish_tenant(world, tenant)
        yield Isolation(world, alder, birch)
