"""Slurm without slurmrestd: its commands run on the controller, another host that OpenSSH reaches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.base.outcome import Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, value_of
from pearlstreet.compute.engines.protocol import DeviceRequest, EndReason
from tests.conformance.slurm_rig import SlurmRig, by_commands
from tests.engines.slurm_cluster import ClusterSize, SlurmCluster
from tests.engines.ssh_hosts import SshHosts, ssh_hosts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SshHosts, SlurmCluster]]:
    """A host with an OpenSSH server, in a network of its own, on which a cluster without slurmrestd runs."""
    with ssh_hosts(tmp_path_factory.mktemp("ssh"), 1) as hosts:
        cluster = SlurmCluster(ClusterSize(nodes=2, gpus=2, namespace=f"pearl{os.getpid()}-1"))
        yield hosts, cluster
        cluster.close()


class RemoteRig(SlurmRig):
    """The cluster behind ssh."""

    placement = "node"
    hosts: SshHosts

    def options(self) -> Mapping[str, object]:
        return {
            **by_commands(super().options(), self.on),
            "ssh": f"root@{self.hosts.addresses[0]}:22",
            "ssh_key": str(self.hosts.key),
            "ssh_known_hosts": str(self.hosts.known_hosts),
        }


@pytest.fixture
def rig(controller: tuple[SshHosts, SlurmCluster], tmp_path: Path) -> Iterator[SlurmRig]:
    """An engine of that cluster."""
    RemoteRig.hosts = controller[0]
    made = RemoteRig(tmp_path, controller[1])
    yield made
    made.clean_up()


def test_a_job_runs_as_a_tenants_user_and_its_log_and_end_are_told(rig: SlurmRig) -> None:
    attempt_id = rig.start(script='echo "$(id -u) $PEARL_NODE"; exit 3')
    report = rig.ended(attempt_id)
    assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 3), report
    assert rig.log(attempt_id).split()[0] != b"0"


def test_a_job_runs_on_the_node_that_the_center_chose(rig: SlurmRig) -> None:
    order = rig.order(script="echo $CUDA_VISIBLE_DEVICES; sleep 3")
    order = replace(order, tasks=(rig.task(0, node="n2", wants=DeviceRequest("h100-sxm-80g", 2)),))
    value_of(rig.engine.start(order))
    rig.running(order.attempt_id)
    name = f"pearl:{order.attempt_id}"
    assert rig.on.run("squeue", "-h", "-n", name, "-o", "%N").split() == ["n2"]
    assert rig.ended(order.attempt_id).exit_code == 0
    assert rig.log(order.attempt_id) == b"0,1\n"


def test_a_stop_and_a_restart_go_the_same_way(rig: SlurmRig) -> None:
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    rig.restart()
    value_of(rig.engine.stop(attempt_id, grace_s=0))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_what_slurm_refuses_is_told_in_its_words(rig: SlurmRig) -> None:
    rig.engine._settings = replace(rig.engine._settings, account="", qos="", partition="batch")  # type: ignore[attr-defined]
    rig.engine._settings = replace(rig.engine._settings, reservation="none-such")  # type: ignore[attr-defined]
    refused = rig.engine.start(rig.order())
    assert isinstance(refused, Refused) and "reservation" in str(refused.reason).lower(), refused


def test_a_node_is_drained_in_slurm_and_comes_back(rig: SlurmRig) -> None:
    def told() -> tuple[bool, str]:
        node = {node.name: node for node in value_of(rig.engine.nodes())}["n1"]
        return node.healthy, rig.on.run("sinfo", "-h", "-n", "n1", "-o", "%E").strip()

    value_of(rig.engine.set_drain("n1", "fan broken"))
    rig.until(lambda: told()[0] is False)
    assert "fan broken" in told()[1]
    value_of(rig.engine.set_drain("n1", None))
    rig.until(lambda: told() == (True, "none"))
