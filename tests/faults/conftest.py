"""A real server over this machine's real engine, shared by the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A center with a tenant; real processes."""
    made = Server(
        tmp_path_factory.mktemp("center") / "data",
        environment={"PEARL_METER_INTERVAL_S": "0.5", "PEARL_START_TIMEOUT_S": "20"},
    )
    made.start()
    made.make_tenant()
    yield made
    made.clean_up()
