"""Simulated engines and orders for tests, with usual values for what a test does not care about."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.clock import Clock
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, Limits, TaskOrder
from pearlstreet.compute.engines.simulated import Habits, SimulatedEngine, nodes_from


def make_engine(clock: Clock, *, seed: int = 1, spec: str = "4x8xH100-80G", **fields: Any) -> SimulatedEngine:
    """Nodes `h100-0001` … whose jobs do not fail by themselves."""
    usual: dict[str, Any] = {"habits": Habits()}
    return SimulatedEngine(nodes_from(spec), clock=clock, rng=SeededRng(seed), **{**usual, **fields})


def make_order(
    attempt_id: str,
    *,
    lasts_s: float | None = 60.0,
    tasks: int = 1,
    node: str = "h100-0001",
    cpus: float = 4,
    devices: int = 1,
    **fields: Any,
) -> AttemptOrder:
    """Task N of it takes `devices` devices beginning with number N."""
    wanted = tuple(
        TaskOrder(rank, node, cpus, 16, tuple(DeviceGrant(rank + number) for number in range(devices)))
        for rank in range(tasks)
    )
    usual: dict[str, Any] = {"limits": Limits(), "simulate_s": lasts_s}
    return AttemptOrder(attempt_id, "job_1", "org_1", ("train",), wanted, **{**usual, **fields})
