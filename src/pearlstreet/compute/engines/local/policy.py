"""Isolation of jobs on this machine: the operator's policy, and the measures that work on the host."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pearlstreet.base.text import Text
from pearlstreet.compute.hardware.isolation import Isolation

TENANT_UIDS = (0x7000_0000, 0x0FFF_FFF0)
"""First and number of the user ids for tenants' jobs when the server is root; systemd leaves this range free."""
SMALL_TENANT_UIDS = (20_000, 40_000)
"""First and number of these user ids inside a container that has only 65,536 user ids."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """Isolation that the operator demands. The defaults select the strongest isolation that the host allows."""

    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    minimum: Isolation = "none"
    """Weakest isolation accepted; with a weaker one neither the engine nor an attempt starts."""
    cgroups: Literal["auto", "off"] = "auto"
    seccomp: bool = True
    drop_root: bool = True
    """Whether jobs run under a user id of their tenant when the server runs as root."""
    read_only: tuple[str, ...] = ()
    """Additional folders of the host that every job may read, such as /opt/rocm."""
    hidden: tuple[str, ...] = ()
    """Folders hidden from every job even inside a visible folder, such as the server's data."""
    mps_pipe: str = ""
    """Folder of the pipes of a control daemon of CUDA MPS, which tasks with shares of a device may then reach; empty: none."""
    min_free_gib: float = 0.25
    """Free space on the engine's disk below which no attempt starts."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Resources of the host that jobs do not get."""

    cpus: float = 0.0
    memory_gib: float = 0.0
    disk_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class Walls:
    """Isolation measures that work on this host."""

    sandbox: Isolation
    bwrap: str = ""
    landlock_abi: int = 0
    own_network: bool = False
    own_memory: bool = False
    """Whether each attempt has a /dev/shm and an IPC namespace of its own."""
    seccomp: bytes = field(default=b"", repr=False)
    """BPF program of the system call filter; empty: no filter."""
    seccomp_offline: bytes = field(default=b"", repr=False)
    """BPF program for jobs without network, if the host cannot create a network namespace; empty: not needed."""
    cgroup_version: int = 0
    cgroup_parents: Mapping[str, str] = field(default_factory=dict)
    supervisor_groups: tuple[str, ...] = ()
    """Control groups that the supervisor enters, so that a service manager does not end it together with the server."""
    tenant_uids: tuple[int, int] | None = None
    """First and number of the user ids that tenants are spread over; None: jobs run as the server's user."""
    notices: tuple[Text, ...] = ()

    def name(self) -> str:
        """Return the measures as one name, such as `bubblewrap+cgroup-v1+seccomp`."""
        parts: list[str] = [self.sandbox if self.sandbox != "none" else "rlimits"]
        if self.cgroup_version:
            parts.append(f"cgroup-v{self.cgroup_version}")
        if self.seccomp:
            parts.append("seccomp")
        return "+".join(parts)


def python_prefixes() -> tuple[str, ...]:
    """Return the folders of the running interpreter that are outside /usr; jobs may read them."""
    folders = dict.fromkeys(str(Path(prefix).resolve()) for prefix in (sys.base_prefix, sys.base_exec_prefix))
    return tuple(folder for folder in folders if not f"{folder}/".startswith("/usr/"))
