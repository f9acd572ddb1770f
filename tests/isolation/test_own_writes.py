"""A write about one tenant, by those who may, changes no row of another.

What a statement does that lost its condition on the organisation: it sets everybody's limit. Runs on a copy of the isolation
world, since the writes end, among others, the tenant they are about.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pearlstreet.tenancy.scopes import OPERATOR_ROLES, OperatorRole
from tests.api.test_access import BODIES
from tests.isolation.ownership import rows_of
from tests.isolation.requests import WRITES
from tests.isolation.test_api_reads import _is_open_to_tenants, _name
from tests.isolation.test_interference import Copy, _copy
from tests.isolation.test_writes import NOT_ASKED, _about, _paths
from tests.isolation.world import Isolation

LAST = ("close", "suspend", "DELETE")
"""Routes that end things come last: the others need them."""
OF_THE_CENTRE = frozenset({"DELETE /api/v1/calibration"})
"""Routes by which operators change what belongs to everybody."""


@pytest.fixture
def copy(isolation: Isolation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A copy of the isolation world that may be spoilt."""
    folder = tmp_path_factory.mktemp("spoilt") / "data"
    now_us = isolation.world.center.store.clock.now_us()
    with _copy(isolation.world.data, folder, now_us, None) as made:
        yield made


def test_no_write_about_birch_changes_a_row_of_alder(isolation: Isolation, copy: Copy) -> None:
    alder, birch, done = isolation.alder, isolation.birch, set()

    def dump() -> object:
        return copy.store.read(lambda tx: rows_of(tx.connection, alder.org_id))

    before = dump()
    for route in sorted(WRITES, key=lambda one: any(word in _name(one) for word in LAST)):
        if _name(route) in NOT_ASKED or _name(route) in OF_THE_CENTRE:
            continue
        if _is_open_to_tenants(route):
            keys = [birch.keys["owner"]]
        else:
            keys = [
                isolation.world.keys[role]
                for role in OperatorRole
                if route.scope is None or route.scope in OPERATOR_ROLES[role]
            ]
        body = _about(BODIES.get((route.method, route.path.removeprefix("/api/v1"))), birch)
        for path in _paths(route, [birch]):
            for key in keys:
                headers = {"authorization": f"Bearer {key}"}
                sent = {} if body is None else {"json": body}
                answer = copy.app.send(
                    route.method, path, params={"org": birch.slug}, headers=headers, **sent
                )
                assert answer.status_code < 500, (path, answer.text)
                if answer.status_code < 300:
                    done.add(_name(route))
        after = dump()
        assert after == before, f"{_name(route)} about birch changed rows of alder"
    assert len(done) > 45, sorted(done)
