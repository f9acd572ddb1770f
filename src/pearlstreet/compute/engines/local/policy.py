"""How jobs are walled off on this machine: what the operator wants, and what was found to work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pearlstreet.base.text import Text
from pearlstreet.compute.hardware.isolation import Isolation

TENANT_UIDS = (0x7000_0000, 0x0FFF_FFF0)
"""First and number of the user ids tenants' jobs run under when the server is root; systemd leaves this range free."""
SMALL_TENANT_UIDS = (20_000, 40_000)
"""The same inside a container that has only 65,536 user ids."""


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """What the operator wants. The defaults take the strongest walls this host allows."""

    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    minimum: Isolation = "none"
    """Refuse to start the engine, and any attempt, with anything weaker."""
    cgroups: Literal["auto", "off"] = "auto"
    seccomp: bool = True
    drop_root: bool = True
    """Run jobs under a user id of their tenant when the server runs as root."""
    read_only: tuple[str, ...] = ()
    """More folders of the host every job may read, e.g. /opt/rocm."""
    hidden: tuple[str, ...] = ()
    """Folders no job may see even where a shown folder holds them: the server's data."""
    min_free_gib: float = 0.25
    """With less free space on the engine's disk nothing is started."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is kept from jobs for the host itself."""

    cpus: float = 0.0
    memory_gib: float = 0.0
    disk_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class Walls:
    """What was found to work on this host."""

    sandbox: Isolation
    bwrap: str = ""
    landlock_abi: int = 0
    own_network: bool = False
    own_memory: bool = False
    """Each attempt has a /dev/shm and an IPC namespace of its own."""
    seccomp: bytes = field(default=b"", repr=False)
    """BPF program; empty: none."""
    seccomp_offline: bytes = field(default=b"", repr=False)
    """The same for jobs without network where no network namespace can be made; empty: it is not needed."""
    cgroup_version: int = 0
    cgroup_parents: Mapping[str, str] = field(default_factory=dict)
    supervisor_groups: tuple[str, ...] = ()
    """Groups the supervisor enters so that a service manager does not end it together with the server."""
    tenant_uids: tuple[int, int] | None = None
    """First and number of user ids to spread tenants over; None: jobs keep the server's user."""
    notices: tuple[Text, ...] = ()

    def name(self) -> str:
        """`bubblewrap+cgroup-v1+seccomp`."""
        parts: list[str] = [self.sandbox if self.sandbox != "none" else "rlimits"]
        if self.cgroup_version:
            parts.append(f"cgroup-v{self.cgroup_version}")
        if self.seccomp:
            parts.append("seccomp")
        return "+".join(parts)


def python_prefixes() -> tuple[str, ...]:
    """Folders of the interpreter in use, outside /usr: jobs may read them."""
    found = dict.fromkeys(str(Path(prefix).resolve()) for prefix in (sys.base_prefix, sys.base_exec_prefix))
    return tuple(prefix for prefix in found if not f"{prefix}/".startswith("/usr/"))
