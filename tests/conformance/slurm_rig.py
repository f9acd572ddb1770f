"""Rig of the Slurm engine: a real cluster of virtual nodes on this machine, which all laws of one process share."""

from __future__ import annotations

import atexit
import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pearlstreet.base.clock import Clock, SystemClock
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.conformance.rig import Rig, build_order
from pearlstreet.compute.engines.host import EngineHost
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceRequest, Engine
from pearlstreet.compute.engines.slurm.making import make_slurm
from tests.engines.slurm_cluster import JOB_USERS, ClusterSize, SlurmCluster, free_ports


@functools.cache
def cluster() -> SlurmCluster:
    """The cluster that the laws share; it ends with this process. $PEARL_SLURM_ROOT: folder of a Debian whose Slurm it is."""
    root = os.environ.get("PEARL_SLURM_ROOT")
    made = SlurmCluster(ClusterSize(root=Path(root) if root else None))
    atexit.register(made.close)
    return made


@functools.cache
def cluster_without_shared_folder() -> SlurmCluster:
    """A cluster whose nodes have mount namespaces of their own; it ends with this process."""
    made = SlurmCluster(ClusterSize(nodes=4, shares_folder=False))
    atexit.register(made.close)
    return made


def options(
    folder: Path, isolation: str = "bubblewrap", placement: str = "node", on: SlurmCluster | None = None
) -> Mapping[str, object]:
    """Settings of an engine of a cluster, by default the shared one, with a shared folder of its own."""
    on = on or cluster()
    shared = on.shared / folder.name
    shared.mkdir(mode=0o755, exist_ok=True)
    return {
        "rest": on.rest,
        "jwt_key": str(on.jwt_key),
        "shared": str(shared),
        "users": ",".join(JOB_USERS),
        "partition": "batch",
        "isolation": isolation,
        "settle_s": 1,
        "placement": placement,
    }


class SlurmRig(Rig):
    """Real jobs of Slurm, as users of organisations. Slurm chooses nodes and devices: its API v0.0.38 cannot name nodes."""

    placement = "engine"
    isolation = "bubblewrap"
    device: Mapping[str, Any] = {"wants": DeviceRequest("h100-sxm-80g", 1)}
    """Devices that rank 0 asks for."""

    def __init__(self, folder: Path, on: SlurmCluster | None = None, clock: Clock | None = None) -> None:
        self.on, self.clock = on or cluster(), clock or SystemClock()
        super().__init__(folder)

    def _make(self) -> Engine:
        folder = self.folder / "slurm"
        host = EngineHost("slurm", False, self.folder, folder, self.clock, SeededRng(1))
        return make_slurm(host, self.options())

    def options(self) -> Mapping[str, object]:
        """Settings of the engine."""
        return options(self.folder, self.isolation, self.placement, self.on)

    def pause(self) -> None:
        time.sleep(0.1)

    def weaken(self) -> None:
        self.isolation = "landlock"
        self.restart()

    def order(
        self,
        *,
        lasts_s: float = 0.2,
        exit_code: int = 0,
        tasks: int = 1,
        script: str | None = None,
        time_s: float | None = None,
        attempt_id: str | None = None,
        variables: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> AttemptOrder:
        usual = f"echo begun; sleep {lasts_s}; echo over; exit {exit_code}"
        return build_order(
            attempt_id,
            ("/bin/sh", "-c", script or usual),
            tuple(self.task(rank, **(self.device if rank == 0 else {})) for rank in range(tasks)),
            {"PATH": "/usr/local/bin:/usr/bin:/bin", **(variables or {})},
            time_s,
            fields,
        )


class CommandSlurmRig(SlurmRig):
    """The same cluster, reached by Slurm's commands on this machine, which can name nodes on every version."""

    placement = "node"

    def options(self) -> Mapping[str, object]:
        return by_commands(super().options(), self.on)


class ExchangeSlurmRig(SlurmRig):
    """A cluster whose nodes see no folder of the server: they fetch and send everything."""

    def __init__(self, folder: Path, on: SlurmCluster | None = None, clock: Clock | None = None) -> None:
        self.port = free_ports(1)[0]
        super().__init__(folder, on or cluster_without_shared_folder(), clock)

    def _make(self) -> Engine:
        # What a node must not see lies where its mount namespace has an empty folder.
        hidden = self.on.shared / self.folder.name
        host = EngineHost("slurm", False, hidden, hidden / "slurm", self.clock, SeededRng(1))
        return make_slurm(host, self.options())

    def options(self) -> Mapping[str, object]:
        kept = {key: value for key, value in super().options().items() if key != "shared"}
        return {**kept, "exchange": f"http://127.0.0.1:{self.port}"}


def by_commands(options: Mapping[str, object], on: SlurmCluster) -> Mapping[str, object]:
    """Return settings that reach the cluster by commands instead of slurmrestd."""
    kept = {key: value for key, value in options.items() if key not in ("rest", "jwt_key")}
    return {**kept, "transport": "command", "slurm_conf": str(on.conf)}
