"""Nodes whose devices count errors are drained by themselves, take no work, and come back; an operator overrides it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Outcome, Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.simulated.faults import Fault, FaultPlan, FaultRule
from pearlstreet.compute.execution.health_loop import HealthSettings, health_loop
from pearlstreet.compute.hardware.health_rules import HealthPolicy
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.pool.health_records import read_health, set_automatic
from pearlstreet.store.tables import audit, outbox
from pearlstreet.tenancy.model import SYSTEM

WHOLE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}
FIRST, SECOND = "h100-0001", "h100-0002"


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return with_rules(Center(tmp_path))


def with_rules(center: Center, settings: HealthSettings | None = None) -> Center:
    loop = health_loop(center.runtime.engines, settings or HealthSettings(), lambda url: None)
    center.loops = (*center.loops, loop)
    center.run(20)
    return center


def fail(center: Center, node: str = FIRST, counter: str = "ecc_uncorrected", amount: float = 1) -> None:
    """The baseline is taken, then the device counts errors."""
    center.simulated.cluster.add_errors(node, 0, counter, 0)
    center.run(20)
    center.simulated.cluster.add_errors(node, 0, counter, amount)
    center.run(20)


def node_of(center: Center, name: str = FIRST) -> inventory.Node:
    return inventory.get_node(center.store, SYSTEM, name)


def topics(center: Center) -> list[str]:
    return [row["topic"] for row in center.store.read(lambda tx: tx.rows(sa.select(outbox.c.topic)))]


def test_a_failing_node_is_drained_with_its_reason_everywhere_and_comes_back_when_quiet(
    center: Center,
) -> None:
    fail(center)
    node = node_of(center)
    assert node.drained
    assert node.drain_reason == "Device 0: 1 memory error that ECC could not correct, within 24 h"
    assert center.simulated.cluster.drained == {FIRST: node.drain_reason}, "the engine's scheduler knows it"
    assert "node.drained" in topics(center)
    jobs = [center.submit(per_task=WHOLE, simulate="200s") for _ in range(2)]
    center.run(20)
    (attempt,) = [attempt for job in jobs for attempt in center.attempts(job)]
    assert {task["node"] for task in attempt["placement"]["tasks"]} == {SECOND}
    center.clock.advance(3_700)
    center.run(20)
    assert not node_of(center).drained
    assert center.simulated.cluster.drained == {}
    assert "node.returned" in topics(center)
    rows = center.store.read(lambda tx: tx.rows(sa.select(audit).where(audit.c.target == FIRST)))
    assert [(row["action"], row["actor"]) for row in rows] == [
        ("node.drain", "health rules"),
        ("node.undrain", "health rules"),
    ]


def test_jobs_on_a_drained_node_go_on(center: Center) -> None:
    job = center.submit(per_task=WHOLE, simulate="100s", tasks=2)
    center.run(5)
    fail(center)
    assert node_of(center).drained
    assert center.job(job).state is JobState.RUNNING
    center.finish(job)
    assert len(center.attempts(job)) == 1


def test_an_operators_decision_stands_until_new_errors(center: Center) -> None:
    fail(center)
    inventory.undrain(center.store, SYSTEM, FIRST)
    center.run(60)
    assert not node_of(center).drained, "the errors that the operator knew of do not drain it again"
    assert center.store.read(read_health)[FIRST].level == "ok"
    center.simulated.cluster.add_errors(FIRST, 0, "ecc_uncorrected", 1)
    center.run(20)
    assert node_of(center).drained
    inventory.drain(center.store, SYSTEM, FIRST, "card 0 is replaced")
    center.clock.advance(7_200)
    center.run(20)
    assert node_of(center).drained, "a drain that an operator set is the operator's"
    assert center.simulated.cluster.drained == {FIRST: "card 0 is replaced"}


def test_a_node_whose_rules_are_off_is_only_warned_of(center: Center) -> None:
    set_automatic(center.store, SYSTEM, FIRST, automatic=False)
    fail(center)
    assert not node_of(center).drained
    assert topics(center).count("node.warning") == 1
    assert center.store.read(read_health)[FIRST].level == "drain"


def test_rules_of_the_center_may_only_warn(tmp_path: Path) -> None:
    center = with_rules(Center(tmp_path), HealthSettings(HealthPolicy(drains=False)))
    fail(center)
    assert not node_of(center).drained
    assert "node.warning" in topics(center)


def test_injected_errors_drain_a_node(center: Center) -> None:
    center.simulated.cluster.add_errors(SECOND, 0, "ecc_corrected", 1)
    center.run(20)
    rule = FaultRule(Fault.DEVICE_THROTTLES, only=frozenset({SECOND}), times=1)
    center.simulated.set_faults(FaultPlan((rule,)))
    center.run(400)
    assert not node_of(center, SECOND).drained
    assert center.store.read(read_health)[SECOND].level == "warn"
    center.run(1_500)
    assert node_of(center, SECOND).drained
    assert "slowed itself down" in str(node_of(center, SECOND).drain_reason)


def test_counters_of_dcgm_exporter_count_as_well(tmp_path: Path) -> None:
    asked: list[str] = []
    errors = 0

    def fetch(url: str) -> str | None:
        asked.append(url)
        return f'DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{gpu="3"}} {errors}' if FIRST in url else None

    center = Center(tmp_path)
    settings = HealthSettings(dcgm_url="http://{node}:9400/metrics")
    center.loops = (*center.loops, health_loop(center.runtime.engines, settings, fetch))
    center.run(20)
    errors = 2
    center.run(20)
    assert node_of(center).drain_reason == "Device 3: 2 memory errors that ECC could not correct, within 24 h"
    assert set(asked) == {f"http://{name}:9400/metrics" for name in (FIRST, SECOND)}


def test_an_engine_that_cannot_drain_is_asked_once(center: Center) -> None:
    asked: list[str] = []

    def refuse(node: str, reason: str | None) -> Outcome[None]:
        asked.append(node)
        return Refused("slurm_refused", text("Slurm said no"))

    center.simulated.set_drain = refuse  # type: ignore[method-assign]
    inventory.drain(center.store, SYSTEM, FIRST, "fans")
    center.run(60)
    assert asked == [FIRST]


def test_a_forgotten_node_leaves_no_health(center: Center) -> None:
    fail(center)
    center.store.write(lambda tx: inventory.record_nodes(tx, "simulated", ()))
    inventory.forget_node(center.store, SYSTEM, FIRST)
    assert FIRST not in center.store.read(read_health)
