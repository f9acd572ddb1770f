"""Burn-ins: a failing or slow node is drained with its figures as reason, and a passing one brings it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.engines import Wrapped
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, Capabilities
from pearlstreet.compute.execution.health_loop import HealthSettings, health_loop
from pearlstreet.compute.hardware.health_rules import HealthPolicy
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.pool.burn_in_records import list_burn_ins, request_burn_ins
from pearlstreet.services.nodes import NodesService
from pearlstreet.tenancy.model import SYSTEM

NAMES = ("h100-0001", "h100-0002", "h100-0003", "h100-0004")
WHOLE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


class Measuring(Wrapped):
    """Leaves a burn-in's result for each attempt, as fast as its node is said to be."""

    tflops: Mapping[str, float] = {}
    silent = False

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), runs_code=True)

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        self.__dict__.setdefault("node_of", {})[order.attempt_id] = order.tasks[0].node
        return super().start(order)

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        if path != "burn_in.json" or self.silent:
            return super().read_output(attempt_id, path, offset=offset, limit=limit)
        figure = self.tflops.get(self.__dict__["node_of"][attempt_id], 600.0)
        errors = ["device 0: the same product differs"] if figure == 0 else []
        result = {"format": 1, "figures": {"device_0_tflops": figure}, "errors": errors, "notices": []}
        return Done(json.dumps(result).encode()[offset : offset + limit])


def make_center(folder: Path, quiet_s: float = 3_600) -> tuple[Center, Measuring]:
    center = Center(folder, cluster="4x8xH100-80G", wrap=Measuring, settings=JobsSettings(burn_in_org=ORG))
    (engine,) = center.runtime.engines.values()
    assert isinstance(engine, Measuring)
    settings = HealthSettings(HealthPolicy(quiet_s=quiet_s), burn_in_org=ORG)
    center.loops = (*center.loops, health_loop(center.runtime.engines, settings, lambda url: None))
    center.run(20)
    return center, engine


def is_drained(center: Center, name: str) -> bool:
    return inventory.get_node(center.store, SYSTEM, name).drained


def test_a_slow_node_is_drained_with_the_figures_and_comes_back_after_a_passing_burn_in(
    tmp_path: Path,
) -> None:
    center, engine = make_center(tmp_path)
    engine.tflops = {NAMES[2]: 300.0}
    request_burn_ins(center.store, SYSTEM, (), all_nodes=True)
    center.run(90)
    found = list_burn_ins(center.store, SYSTEM)
    assert {one.node: one.state for one in found} == dict.fromkeys(NAMES, "done")
    slow = inventory.get_node(center.store, SYSTEM, NAMES[2])
    assert slow.drained
    assert slow.drain_reason == (
        "Slower than equal nodes in the burn-in: device_0_tflops is 300, their median 600"
    )
    assert not any(is_drained(center, name) for name in NAMES if name != NAMES[2])
    center.clock.advance(7_200)
    center.run(20)
    assert is_drained(center, NAMES[2]), "time alone does not repair a slow node"
    engine.tflops = {}
    request_burn_ins(center.store, SYSTEM, [NAMES[2]])
    center.run(90)
    assert not is_drained(center, NAMES[2])
    center.check_books()


def test_a_node_that_rules_drained_is_measured_by_itself_and_used_again(tmp_path: Path) -> None:
    center, _ = make_center(tmp_path, quiet_s=0)
    center.simulated.cluster.add_errors(NAMES[0], 0, "ecc_uncorrected", 0)
    center.run(20)
    center.simulated.cluster.add_errors(NAMES[0], 0, "ecc_uncorrected", 1)
    center.run(16)
    assert is_drained(center, NAMES[0])
    assert NAMES[0] not in center.simulated.cluster.drained, "its scheduler must start the burn-in"
    center.run(90)
    (one,) = list_burn_ins(center.store, SYSTEM)
    assert (one.node, one.state, one.requested_by) == (NAMES[0], "done", "health rules")
    assert not is_drained(center, NAMES[0])


def test_wrong_results_drain_a_node_and_an_operator_may_use_it_again(tmp_path: Path) -> None:
    center, engine = make_center(tmp_path)
    engine.tflops = {NAMES[1]: 0.0}
    request_burn_ins(center.store, SYSTEM, [NAMES[1]])
    center.run(90)
    assert is_drained(center, NAMES[1])
    inventory.undrain(center.store, SYSTEM, NAMES[1])
    center.run(40)
    assert not is_drained(center, NAMES[1])


def test_a_burn_in_waits_until_its_node_is_idle_and_holds_it_alone(tmp_path: Path) -> None:
    center, _ = make_center(tmp_path)
    jobs = [center.submit(per_task=WHOLE, simulate="120s") for _ in NAMES]
    center.run(5)
    request_burn_ins(center.store, SYSTEM, [NAMES[0]])
    request_burn_ins(center.store, SYSTEM, [NAMES[0]])
    center.run(30)
    (one,) = list_burn_ins(center.store, SYSTEM)
    assert one.state == "waiting", "a second request of the same node is the first"
    inventory.drain(center.store, SYSTEM, NAMES[0], "to measure it")
    center.run(110)
    late = center.submit(per_task=WHOLE, simulate="20s", tasks=4)
    center.run(10)
    assert list_burn_ins(center.store, SYSTEM)[0].state == "running"
    assert center.job(late).state is JobState.QUEUED
    center.finish(*jobs)
    center.run(60)
    assert list_burn_ins(center.store, SYSTEM)[0].state == "done"
    assert is_drained(center, NAMES[0]), "an operator's drain stays"
    inventory.undrain(center.store, SYSTEM, NAMES[0])
    center.finish(late)
    center.check_books()


def test_a_burn_in_without_a_result_ends_after_some_tries_and_drains_nothing(tmp_path: Path) -> None:
    center, engine = make_center(tmp_path)
    engine.silent = True
    request_burn_ins(center.store, SYSTEM, [NAMES[0]])
    center.run(240)
    (one,) = list_burn_ins(center.store, SYSTEM)
    assert one.state == "lost"
    assert len(center.attempts(one.id)) == 3
    assert not is_drained(center, NAMES[0])


def test_requests_that_cannot_run_are_refused(tmp_path: Path) -> None:
    center, _ = make_center(tmp_path)
    with pytest.raises(NotFound, match="gpu-99"):
        request_burn_ins(center.store, SYSTEM, [NAMES[0], "gpu-99"])
    assert not list_burn_ins(center.store, SYSTEM), "half of a request is no request"
    other = Center(tmp_path / "other")
    with pytest.raises(Conflict, match="organisation"):
        NodesService(other.store, other.runtime).request_burn_ins(other.store, SYSTEM, ["h100-0001"])
