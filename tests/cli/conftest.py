"""One simulated center for most commands: a server takes longer to start than all of them take to run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant


@pytest.fixture(scope="session")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A simulated center with nothing in it."""
    with a_center(tmp_path_factory.mktemp("center"), "--simulate", "4x8xH100-80G", "--idle") as made:
        yield made


@pytest.fixture(scope="session")
def ada(center: Center) -> Pearl:
    """The owner of an organisation with 1,000 yuan."""
    return a_tenant(center, "acme", "ada")
