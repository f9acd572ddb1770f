"""Shares of a device under CUDA MPS: what a task is told, and when the engine says that it enforces them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tests.unit.engines_local.kit import NODE, Bench

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.outcome import Retry
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.local.mps import daemon_runs, variables
from pearlstreet.compute.engines.protocol import DeviceGrant, TaskOrder
from pearlstreet.compute.hardware.model import DeviceReport

DEVICES = tuple(DeviceReport(index, "NVIDIA", "h100-sxm-80g", 80.0) for index in range(4))
PIPE = "/run/mps"


def test_a_task_with_a_share_gets_its_limits_in_the_order_of_its_devices() -> None:
    grants = [DeviceGrant(2, 40.0, 50.0), DeviceGrant(3, 20.5, 25.0)]
    assert variables(grants, DEVICES, PIPE) == {
        "CUDA_MPS_PIPE_DIRECTORY": PIPE,
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25",
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=40960M,1=20992M",
    }
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in variables([DeviceGrant(0, 8.0)], DEVICES, PIPE)


def test_whole_devices_other_vendors_and_instances_are_left_alone() -> None:
    share = [DeviceGrant(0, 8.0, 10.0)]
    assert variables([DeviceGrant(0)], DEVICES, PIPE) == {}
    assert variables(share, DEVICES, "") == {}
    assert variables(share, [DeviceReport(0, "Huawei", "ascend-910b1", 64.0)], PIPE) == {}
    assert variables(share, [DeviceReport(0, "NVIDIA", "a100-sxm-40g-mig-3g.20gb", 20.0)], PIPE) == {}


def test_the_daemon_is_there_while_its_pipe_is(tmp_path: Path) -> None:
    assert not daemon_runs("") and not daemon_runs(str(tmp_path))
    (tmp_path / "control").write_text("left over")
    assert not daemon_runs(str(tmp_path)), "a plain file is no daemon"
    (tmp_path / "control").unlink()
    os.mkfifo(tmp_path / "control")
    assert daemon_runs(str(tmp_path))


def test_a_running_task_has_its_limits_and_none_starts_without_the_daemon(tmp_path: Path) -> None:
    pipe = tmp_path / "mps"
    pipe.mkdir()
    os.mkfifo(pipe / "control")
    bench = Bench(tmp_path, mps_pipe=str(pipe), sandbox="none", cgroups="off")
    bench.engine.close()
    node = replace(NODE, devices=DEVICES[:1])
    bench.engine = LocalEngine(
        tmp_path / "engine", clock=SystemClock(), probe=lambda: node, policy=SandboxPolicy(**bench.policy)
    )
    assert (bench.engine.capabilities().fractions, bench.engine.capabilities().sharing) == (True, "mps")
    task = TaskOrder(0, NODE.name, 1.0, 0.25, (DeviceGrant(0, 8.0, 10.0),))
    attempt = bench.start("env | grep ^CUDA_MPS | sort", tasks=(task,))
    bench.ended(attempt)
    assert bench.log(attempt).split() == [
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=10",
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=8192M",
        f"CUDA_MPS_PIPE_DIRECTORY={pipe}",
    ]
    (pipe / "control").unlink()
    refused = bench.engine.start(bench.order("true", tasks=(task,)))
    assert isinstance(refused, Retry) and "MPS" in str(refused.reason)
    bench.engine.close()
