"""`rig`: every law over every registered engine; `code_rig`: laws about programs, over engines that run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.compute.engines.registry import ENGINES
from tests.conformance.engines import RIGS, Rig


@pytest.fixture(params=[name for name in ENGINES if name in RIGS])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An engine of each kind, over an empty folder."""
    made = RIGS[request.param].make(tmp_path)
    yield made
    made.clean_up()


@pytest.fixture(params=[name for name, kind in RIGS.items() if kind.runs_code])
def code_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An engine of each kind that runs code, over an empty folder."""
    made = RIGS[request.param].make(tmp_path)
    yield made
    made.clean_up()
