"""The isolation world holds a row of both tenants in every table that can hold one."""

from __future__ import annotations

from pearlstreet.store.tables import metadata
from tests.isolation.ownership import OWNED, SHARED, TENANT_COLUMNS
from tests.isolation.world import Isolation


def test_every_table_belongs_to_tenants_or_to_the_centre() -> None:
    assert set(OWNED) | set(SHARED) == set(metadata.tables), "add the table to tests/isolation/ownership.py"
    assert not set(OWNED) & set(SHARED)


def test_no_shared_table_names_a_tenant() -> None:
    named = {name: TENANT_COLUMNS & set(metadata.tables[name].columns.keys()) for name in SHARED}
    assert {name: columns for name, columns in named.items() if columns} == {}


def test_both_tenants_have_rows_in_every_table_of_tenants(isolation: Isolation) -> None:
    for tenant in (isolation.alder, isolation.birch):
        rows = isolation.dump(tenant)
        empty = sorted(name for name in OWNED if not rows[name])
        assert not empty, f"{tenant.marker} has no row in these tables; add one in tests/isolation/tenants.py"


def test_both_tenants_have_contents_of_their_own(isolation: Isolation) -> None:
    for tenant, other in ((isolation.alder, isolation.birch), (isolation.birch, isolation.alder)):
        contents = isolation.contents(tenant)
        assert sum(tenant.marker in text.lower() for text in contents) > 40
        assert not [text for text in contents if other.marker in text.lower()]
        assert f"{tenant.factor},313.37" in contents, "amounts are recognised, too"
