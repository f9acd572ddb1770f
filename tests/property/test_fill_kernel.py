"""The two versions of the kernel of `expected-fill` give the same numbers for any state of any center."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.planner_world import World, worlds
from tests.property.test_planner import few

from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.capacity import FreeCapacity
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.placement.expected_fill import ExpectedFill
from pearlstreet.compute.scheduling.placement.fill.state import NEVER
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


def told(world: World, mode: kernels.Mode, taken: list[int]) -> list[object]:
    """Return everything that the kernel says of each request of a center, before and after some nodes change."""
    snapshot, cache = world.snapshot(), PlannerCache()
    found: list[object] = []
    with kernels.using(mode):
        capacity = FreeCapacity(snapshot, cache)
        scorer = ExpectedFill(snapshot, PlannerConfig(), cache)
        for changed in (None, *taken):
            if changed is not None and capacity.count:
                node = changed % capacity.count
                capacity.cpu[node] //= 2
                capacity.device_compute[node] //= 2
                capacity.touched.append(node)
            for number, request in enumerate(snapshot.requests):
                needs = capacity.topology_cache.needs(request, number)
                if not needs:
                    continue
                every = np.arange(capacity.count)
                scorer.score(capacity, needs[0], every, every, False)
                board = scorer._board(capacity)
                ask = board.ask(needs[:1], False)
                fits = ask.loss != NEVER
                best = scorer.best(capacity, needs, False)
                found += [
                    board.notes.value.tolist(), board.notes.capacity.tolist(), board.notes.slots.tolist(),
                    ask.loss.tolist(), ask.device[fits].tolist(), ask.spent[fits].tolist(), ask.second[fits].tolist(),
                    best and (best.node, best.need.key, best.device, best.equal),
                ]  # fmt: skip
    return found


@few
@given(worlds(quotas=False), st.lists(st.integers(0, 5), max_size=3))
def test_both_versions_say_the_same(world: World, taken: list[int]) -> None:
    if not kernels.installed():
        pytest.skip("numba is not installed; it is a dependency wherever it has wheels")
    assert told(world, "always", taken) == told(world, "never", taken)
