"""`bench`: behind the best walls of this host; `walled`: behind each kind in turn; `sealed`: behind bubblewrap only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines_present import need
from tests.unit.engines_local.kit import Bench

from pearlstreet.compute.engines.local.supervisor import linux

WALLS = {
    "bubblewrap": {"sandbox": "bubblewrap"},
    "bubblewrap-no-cgroups": {"sandbox": "bubblewrap", "cgroups": "off"},
    "landlock": {"sandbox": "landlock"},
    "landlock-no-cgroups": {"sandbox": "landlock", "cgroups": "off"},
    "none": {"sandbox": "none"},
    "none-no-cgroups": {"sandbox": "none", "cgroups": "off"},
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.clean_up()


@pytest.fixture(params=list(WALLS))
def walled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param.startswith("landlock"):
        need(linux.landlock_abi(), "Landlock in the kernel")
    made = Bench(tmp_path, **WALLS[request.param])
    yield made
    made.clean_up()


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, sandbox="bubblewrap")
    yield made
    made.clean_up()
