"""What an attempt's devices did, as the driver's library told it (a stand-in for NVML; untested on hardware)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import NODE, Bench, until
from tests.unit.hardware.test_nvidia import Gpu, detect

from pearlstreet.base.clock import SystemClock
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.protocol import DeviceGrant, MetricSample, NodeReport, TaskOrder


@dataclass
class Machine(Bench):
    """A bench whose machine has three GPUs of NVIDIA's, probed as a real one's are."""

    def __init__(self, folder: Path) -> None:
        self.gpus = [Gpu(milliwatts=1000 * watts) for watts in (100, 200, 300)]
        super().__init__(folder)
        self.restart()

    def restart(self) -> LocalEngine:
        self.engine.close()
        self.engine = LocalEngine(
            self.folder / "engine", clock=SystemClock(), probe=self.probe, policy=SandboxPolicy()
        )
        return self.engine

    def probe(self) -> NodeReport:
        return replace(NODE, devices=detect(*self.gpus).devices)

    def samples(self, attempt_id: str) -> list[MetricSample]:
        """Of devices, after another look at the machine."""
        value_of(self.engine.nodes())
        found = value_of(self.engine.read_metrics(attempt_id, since_us=0))
        assert [sample.at_us for sample in found] == sorted(sample.at_us for sample in found)
        return [sample for sample in found if any(name.startswith("device_") for name in sample.values)]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.clean_up()


def test_a_task_gets_samples_of_its_own_devices_and_of_no_others(machine: Machine) -> None:
    tasks = (
        TaskOrder(0, NODE.name, 1.0, 0.25, (DeviceGrant(0), DeviceGrant(2))),
        TaskOrder(1, NODE.name, 1.0, 0.25),
    )
    attempt_id, plain = machine.start("sleep 300", tasks=tasks), machine.start("sleep 300")
    until(lambda: machine.report(attempt_id) and machine.samples(attempt_id))
    first = machine.samples(attempt_id)[0]
    assert (first.rank, first.kind) == (0, "use")
    assert first.values == {
        "device_0_utilization_percent": 37,
        "device_0_memory_gib": 1,
        "device_0_power_w": 100,
        "device_0_temperature_c": 41,
        "device_2_utilization_percent": 37,
        "device_2_memory_gib": 1,
        "device_2_power_w": 300,
        "device_2_temperature_c": 41,
    }
    assert machine.report(plain) and machine.samples(plain) == []


def test_samples_go_on_after_the_server_comes_back_and_end_with_the_attempt(machine: Machine) -> None:
    tasks = (TaskOrder(0, NODE.name, 1.0, 0.25, (DeviceGrant(1),)),)
    attempt_id = machine.start("sleep 300", tasks=tasks)
    machine.gpus[1].milliwatts = 250_000
    machine.gpus[1].unsupported = frozenset({"nvmlDeviceGetUtilizationRates"})
    machine.restart()
    until(lambda: machine.report(attempt_id) and machine.samples(attempt_id))
    assert machine.samples(attempt_id)[-1].values == {
        "device_1_memory_gib": 1,
        "device_1_power_w": 250,
        "device_1_temperature_c": 41,
    }
    machine.engine.stop(attempt_id, grace_s=0)
    machine.ended(attempt_id)
    count = len(machine.samples(attempt_id))
    machine.restart()
    until(lambda: machine.report(attempt_id))
    assert len(machine.samples(attempt_id)) == count
