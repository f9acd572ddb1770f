"""Topology and generic resources of a real Slurm 22.05, by its commands and by slurmrestd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.base.clock import SystemClock
from pearlstreet.compute.engines.slurm.commands import CommandTransport
from pearlstreet.compute.engines.slurm.gres import Gres
from pearlstreet.compute.engines.slurm.model import Submission
from pearlstreet.compute.engines.slurm.rest import RestTransport, key_reader
from pearlstreet.compute.engines.slurm.topology import NodePlace, parse_topology
from pearlstreet.compute.engines.slurm.transport import BadGresError, RejectedError, Transport
from pearlstreet.compute.hardware.access import LocalHost
from tests.conformance.slurm_rig import SlurmRig
from tests.engines.slurm_cluster import ClusterSize, SlurmCluster

pytestmark = pytest.mark.slow


class _TreeCluster(SlurmCluster):
    """Four nodes in two racks below one switch."""

    def more_conf(self) -> str:
        lines = [
            "SwitchName=leaf1 Nodes=n[1-2]",
            "SwitchName=leaf2 Nodes=n[3-4]",
            "SwitchName=core Switches=leaf[1-2]",
        ]
        (self.folder / "topology.conf").write_text("\n".join(lines) + "\n")
        return "TopologyPlugin=topology/tree"

    def start_accounting(self) -> None:
        (self.folder / "topology.conf").rename(self.folder / "etc" / "topology.conf")


@pytest.fixture(scope="module")
def tree() -> Iterator[SlurmCluster]:
    made = _TreeCluster(ClusterSize(nodes=4, gpus=2))
    yield made
    made.close()


@pytest.fixture(params=["command", "rest"])
def slurm(request: pytest.FixtureRequest, tree: SlurmCluster) -> Iterator[Transport]:
    made: Transport
    if request.param == "command":
        made = CommandTransport(LocalHost(), conf=str(tree.conf))
    else:
        made = RestTransport(tree.rest, key_reader(tree.jwt_key), api_user="root", clock=SystemClock())
    yield made
    made.close()


def test_the_commands_tell_the_topology(tree: SlurmCluster) -> None:
    slurm = CommandTransport(LocalHost(), conf=str(tree.conf))
    places = parse_topology(slurm.topology())
    assert places == parse_topology((tree.folder / "etc" / "topology.conf").read_text())
    assert places["n3"] == NodePlace("leaf2", "core")


def test_an_engine_over_slurmrestd_reads_the_file(tree: SlurmCluster, tmp_path: Path) -> None:
    class Rig(SlurmRig):
        def options(self) -> dict[str, object]:  # type: ignore[override]
            return {**super().options(), "topology_conf": str(tree.folder / "etc" / "topology.conf")}

    rig = Rig(tmp_path, tree)
    nodes = rig.engine.nodes()
    assert {node.name: (node.rack, node.pod) for node in nodes.value} == {  # type: ignore[union-attr]
        "n1": ("leaf1", "core"),
        "n2": ("leaf1", "core"),
        "n3": ("leaf2", "core"),
        "n4": ("leaf2", "core"),
    }
    rig.clean_up()


@pytest.mark.parametrize("gres", [Gres("gpu", "b300", 1), Gres("gpu", "h100", 99), Gres("fpga", "", 1)])
def test_a_resource_that_no_node_has_is_refused_as_such(slurm: Transport, gres: Gres) -> None:
    job = Submission(
        attempt_id="att_x",
        script="#!/bin/sh\ntrue",
        user="games",
        partition="batch",
        nodes=1,
        tasks=1,
        cpus_per_node=1,
        memory_mib_per_node=100,
        gres_per_node=(gres,),
    )
    with pytest.raises(RejectedError) as caught:
        slurm.submit(job)
    if gres.name == "gpu" or isinstance(slurm, CommandTransport):
        assert type(caught.value) is BadGresError, (
            "slurmrestd 22.05 only says that it cannot parse an unknown name"
        )
