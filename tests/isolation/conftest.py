"""One isolation world for all files of tests: it takes 15 s to fill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.isolation.world import Isolation, an_isolation_world


@pytest.fixture(scope="session")
def isolation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolation]:
    """Two tenants with rows in every table."""
    with an_isolation_world(tmp_path_factory.mktemp("isolation")) as made:
        yield made
