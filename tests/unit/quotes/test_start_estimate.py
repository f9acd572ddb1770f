"""An offer that cannot start names the machines out of service instead of saying that nothing is free."""

from __future__ import annotations

from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow
from pearlstreet.quotes.start_estimate import Submitter, expected_start
from pearlstreet.workload.spec.parse import parse_json


def _node(name: str, *, schedulable: bool) -> NodeRow:
    devices = tuple(DeviceRow(i, "H100-80G", 80 << 10) for i in range(8))
    return NodeRow(name, 64_000, 512 << 10, devices, schedulable)


def test_what_is_out_of_service_is_named() -> None:
    spec = parse_json(
        {
            "command": "x",
            "name": "x",
            "tasks": 2,
            "per_task": {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1},
        }
    )
    snapshot = build(now_us=0, nodes=[_node("a", schedulable=True), _node("b", schedulable=False)])
    who = Submitter("org_a", "prj_a", "ada", "default")
    found = expected_start(snapshot, PlannerConfig(), who, spec, Band(60.0, 60.0, 60.0))
    assert found.basis == "unknown" and found.likely_us is None
    assert "Of 2 matching nodes too many are out of service" in str(found.why)
