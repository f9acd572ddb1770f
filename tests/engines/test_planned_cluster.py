"""A real Slurm runs with the files that `pearl cluster plan` writes: nodes, devices, shards, switches, tokens."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from pearlstreet.base.rng import SystemRng
from pearlstreet.compute.clusters.keys import JWT_KEY, new_keys
from pearlstreet.compute.clusters.model import ClusterEntry, Devices, HostEntry, HostFacts
from pearlstreet.compute.clusters.plan import plan_cluster
from pearlstreet.compute.clusters.slurm_files import Folders, Options
from pearlstreet.compute.clusters.writing import write
from tests.engines.slurm_cluster import ClusterSize, SlurmCluster, free_ports


class PlannedCluster(SlurmCluster):
    """The test cluster with planned files instead of its own."""

    def _write(self, more: str) -> None:
        super()._write(more)
        root = self.folder
        folders = Folders(
            etc=f"{root}/etc", state=f"{root}/state", spool=f"{root}/spool/%n", run=f"{root}/run", log=f"{root}/log",
            munge_socket=f"{root}/run/munge.sock",
        )  # fmt: skip
        ctld, *ports = free_ports(len(self.names) + 1)
        devices = Devices("h100-sxm-80g", tuple(f"{root}/dev/gpu{n}" for n in range(self.size.gpus)))
        facts = HostFacts(2, 16, 1, 64_000, (devices,), hostname=socket.gethostname())
        hosts = tuple(
            HostEntry(name, "127.0.0.1", rack=f"r{n % 2}", sharing="shard", port=port, described=facts)
            for n, (name, port) in enumerate(zip(self.names, ports, strict=True))
        )
        entry = ClusterEntry("planned", self.names[0], partition="batch", slurmctld_port=ctld, hosts=hosts)
        options = Options(folders, slurm_user="root", has_cgroups=False, is_virtual=True)
        keys = new_keys(SystemRng(), accounting=False)
        plan = plan_cluster(entry, dict.fromkeys(self.names, facts), keys, options)
        write(root / "etc", {name: file for name, file in plan.files.items() if name != "munge.key"})
        self.jwt_key.unlink()
        (root / "etc" / JWT_KEY).rename(self.jwt_key)
        conf = self.conf.read_text().replace(JWT_KEY, self.jwt_key.name)
        self.conf.write_text(conf)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PlannedCluster]:
    made = PlannedCluster(ClusterSize(nodes=4, gpus=4))
    yield made
    made.close()


def test_slurm_sees_the_planned_nodes_devices_and_switches(cluster: PlannedCluster) -> None:
    nodes = json.loads(cluster.run("sinfo", "--json"))["nodes"]
    assert {node["name"] for node in nodes} == set(cluster.names)
    assert {node["gres"].partition(",")[0] for node in nodes} == {"gpu:h100-sxm-80g:4"}
    assert all(node["gres"].endswith(":40") and "shard:" in node["gres"] for node in nodes)
    assert {node["real_memory"] for node in nodes} == {63_360}
    assert "SwitchName=top" in cluster.run("scontrol", "show", "topology")


def test_a_job_gets_its_devices_and_a_token_is_issued(cluster: PlannedCluster) -> None:
    seen = cluster.run(
        "srun", "-N2", "--gres=gpu:h100-sxm-80g:2", "sh", "-c", "echo $SLURM_NODEID $SLURM_GPUS_ON_NODE"
    )
    assert sorted(seen.split("\n")[:2]) == ["0 2", "1 2"]
    assert cluster.run("scontrol", "token", "lifespan=60").startswith("SLURM_JWT=")
