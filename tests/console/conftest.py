"""One center for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.visitors import Console, a_console


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A whole center behind its console."""
    with a_console(tmp_path_factory.mktemp("center"), webhooks_private_allowed=True) as made:
        yield made
