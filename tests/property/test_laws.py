"""Every law of the planner in very many cases: `make planner CASES=100000`."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from tests.property import test_elasticity, test_neighbours, test_online_placer, test_planner, test_waiting
from tests.property.dice import Law, Thrown
from tests.property.machines import CASES

LAWS: Mapping[str, Law] = {
    **test_planner.LAWS,
    **test_waiting.LAWS,
    **test_online_placer.LAWS,
    **test_neighbours.LAWS,
    **test_elasticity.LAWS,
}
PARTS = 20
"""Of each law, for processes side by side."""
SEED = os.environ.get("PEARL_PLANNER_SEED") or os.urandom(4).hex()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("law", LAWS)
def test_it_holds_in_every_case(law: str, part: int) -> None:
    """A case is a seed and a number: give the seed as PEARL_PLANNER_SEED to see it again."""
    for number in range(part, CASES, PARTS):
        try:
            LAWS[law](Thrown(f"{SEED} {number}"))
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, case {number}: {error}") from error
