"""One center per test file: making one takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.world import World, a_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A whole center behind its REST API."""
    with a_world(tmp_path_factory.mktemp("center"), webhooks_private_allowed=True) as made:
        yield made
