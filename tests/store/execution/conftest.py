"""What the tests of the jobs room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.store.jobs import harness


@pytest.fixture(autouse=True)
def _close_databases() -> Iterator[None]:
    yield
    while harness.opened:
        harness.opened.pop().close()
