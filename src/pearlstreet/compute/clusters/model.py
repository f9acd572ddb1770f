"""Values of a cluster that is being set up: hosts as they were described, what they have, and the files of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pearlstreet.base.text import Text

Sharing = Literal["none", "shard", "mps"]
SHARINGS: tuple[Sharing, ...] = ("none", "shard", "mps")
"""How Slurm gives out parts of a device: not at all, as shards that are only counted, or through CUDA MPS."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Devices of one model on one host."""

    model: str
    """Catalogue id such as `h100-sxm-80g`, or the vendor's own name."""
    files: tuple[str, ...]
    """Device files, one for each device, such as `/dev/nvidia0`."""

    @property
    def slurm_type(self) -> str:
        """Type in gres.conf: lower-case letters, digits, hyphens and underscores only."""
        kept = (letter if letter.isalnum() or letter in "_-" else "-" for letter in self.model.lower())
        return "".join(kept).strip("-") or "gpu"


@dataclass(frozen=True, slots=True)
class HostEntry:
    """A host as the hosts file describes it."""

    name: str
    """Name of the host in Slurm; it is the host's own short name (`hostname -s`), unless `port` makes it a virtual node."""
    address: str
    """Address that ssh and Slurm's daemons use."""
    is_here: bool = False
    """Whether it is this machine, which is asked without ssh."""
    rack: str = ""
    pod: str = ""
    is_compute: bool = True
    sharing: Sharing = "none"
    shares: int = 10
    """Shards, or hundredths of MPS, for each device that is shared."""
    reserve_memory_gib: float = 2.0
    """Memory in GiB that the system keeps for itself."""
    port: int | None = None
    """Port of its slurmd; several virtual nodes of one machine need one each. None: the cluster's."""
    described: HostFacts | None = None
    """What it has, if the hosts file says so; None: it is probed."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host has."""

    sockets: int
    cores_per_socket: int
    threads_per_core: int
    memory_mib: int
    devices: tuple[Devices, ...] = ()
    hostname: str = ""
    system: str = ""
    """Identifier and version of its distribution, such as `debian 12`."""
    has_systemd: bool = True
    clock_offset_s: float | None = None
    """Its clock minus that of this machine, in seconds; None: not known."""
    problems: tuple[Text, ...] = ()
    """What would keep the host from working in the cluster."""

    @property
    def cpus(self) -> int:
        """Number of hardware threads."""
        return self.sockets * self.cores_per_socket * self.threads_per_core


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """The cluster as the hosts file describes it."""

    name: str
    controller: str
    """Name of the host that runs slurmctld and slurmrestd."""
    accounting: str = ""
    """Name of the host that runs slurmdbd with its database; empty: no accounting."""
    shared_folder: str = ""
    """Folder that all hosts share; empty: none."""
    partition: str = "pearl"
    slurmctld_port: int = 6817
    slurmd_port: int = 6818
    slurmdbd_port: int = 6819
    slurmrestd_port: int = 6820
    hosts: tuple[HostEntry, ...] = ()

    def host(self, name: str) -> HostEntry:
        """Return the host named `name`; it exists."""
        return next(host for host in self.hosts if host.name == name)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of a plan."""

    content: bytes
    mode: int = 0o644
    is_secret: bool = False
    """Whether its content is never shown."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The files that make a cluster of hosts, by name, and what is to be known about them."""

    files: Mapping[str, PlannedFile]
    warnings: tuple[Text, ...] = field(default=())
