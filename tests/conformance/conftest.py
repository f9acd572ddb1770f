"""`rig`: every law over every registered engine; `code_rig`: laws about programs, over engines that run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("pearlstreet.compute.engines.conformance")

from pearlstreet.compute.engines.conformance.rig import Rig  # noqa: E402  after the line above
from tests.conformance.engines import RIGS  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the laws that a rig leaves to another rig of its engine."""
    for item in items:
        name = getattr(item, "callspec", None) and next(
            (item.callspec.params[key] for key in ("rig", "code_rig") if key in item.callspec.params), None
        )
        words = RIGS[name].only if isinstance(name, str) and name in RIGS else ()
        if words and not any(word in item.name.partition("[")[0] for word in words):
            item.add_marker(pytest.mark.slow)


def _param(name: str) -> Any:
    return pytest.param(name, marks=[pytest.mark.slow] if RIGS[name].is_slow else [])


@pytest.fixture(params=[_param(name) for name, kind in RIGS.items() if kind.every_law])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An engine of each kind and placement mode, over an empty folder."""
    yield from _rig(request.param, tmp_path)


@pytest.fixture(params=[_param(name) for name, kind in RIGS.items() if kind.runs_code])
def code_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An engine of each kind that runs code, over an empty folder."""
    yield from _rig(request.param, tmp_path)


def _rig(name: str, folder: Path) -> Iterator[Rig]:
    made = RIGS[name].make(folder)
    yield made
    made.clean_up()
