"""Slurm's configuration files for the hosts of a cluster. Pure.

Keys and their meaning: the manual pages slurm.conf(5), gres.conf(5), cgroup.conf(5), topology.conf(5), slurmdbd.conf(5) of Slurm
22.05 to 24.11, which agree on everything written here.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pearlstreet.compute.clusters.host_ranges import compress
from pearlstreet.compute.clusters.model import ClusterEntry, HostEntry, HostFacts

V = TypeVar("V")

SETTLED_SHARE = 0.99
"""Share of the memory seen that a node promises: a kernel update may take a little, and a node with less is set aside."""
MIB_PER_GIB = 1024
MPS_PER_DEVICE = 100
"""Units of gres/mps for each device: hundredths, as in Slurm's own examples."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where Slurm's files are on the hosts: as Debian's packages have them, or in a folder of one's own."""

    etc: str = "/etc/slurm"
    state: str = "/var/lib/slurm/slurmctld"
    spool: str = "/var/lib/slurm/slurmd.%n"
    run: str = "/run/slurm"
    log: str = "/var/log/slurm"
    munge_socket: str = ""
    """Socket of munge; empty: its default."""


@dataclass(frozen=True, slots=True)
class Options:
    """What differs between a cluster of machines and one of virtual nodes on a single machine."""

    folders: Folders = Folders()
    slurm_user: str = "slurm"
    has_cgroups: bool = True
    """Whether Slurm confines tasks by control groups. False for virtual nodes, which share one machine and its control groups."""
    is_virtual: bool = False
    """Whether nodes claim more than the machine has."""


@dataclass(frozen=True, slots=True)
class Node:
    """A compute host with what it has."""

    entry: HostEntry
    facts: HostFacts


def slurm_conf(
    cluster: ClusterEntry, nodes: Sequence[Node], hostnames: Mapping[str, str], options: Options
) -> str:
    """Return slurm.conf. `hostnames`: what hosts call themselves (`hostname -s`), by their names in the hosts file."""
    controller = cluster.host(cluster.controller)
    folders = options.folders
    socket = f",socket={folders.munge_socket}" if folders.munge_socket else ""
    head: dict[str, str] = {
        "ClusterName": cluster.name,
        "SlurmctldHost": f"{hostnames.get(controller.name) or controller.name}({controller.address})",
        "SlurmctldPort": str(cluster.slurmctld_port),
        "SlurmdPort": str(cluster.slurmd_port),
        "AuthType": "auth/munge",
        # A requeued job waits until its old credential has expired: 120 s by default.
        "AuthInfo": f"cred_expire=30{socket}",
        "AuthAltTypes": "auth/jwt",
        "AuthAltParameters": f"jwt_key={folders.etc}/jwt_hs256.key",
        "CredType": "cred/munge",
        "SlurmUser": options.slurm_user,
        "SlurmdUser": "root",
        "StateSaveLocation": folders.state,
        "SlurmdSpoolDir": folders.spool,
        "SlurmctldPidFile": f"{folders.run}/slurmctld.pid",
        "SlurmdPidFile": f"{folders.run}/slurmd{'.%n' if options.is_virtual else ''}.pid",
        "SlurmctldLogFile": f"{folders.log}/slurmctld.log",
        "SlurmdLogFile": f"{folders.log}/slurmd.%n.log",
        "ProctrackType": "proctrack/cgroup" if options.has_cgroups else "proctrack/linuxproc",
        "TaskPlugin": "task/cgroup,task/affinity" if options.has_cgroups else "task/none",
        "JobAcctGatherType": "jobacct_gather/cgroup" if options.has_cgroups else "jobacct_gather/linux",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "TopologyPlugin": "topology/tree" if _is_tree(nodes) else "topology/none",
        "PreemptType": "preempt/none",
        "ReturnToService": "2",
        "SlurmdTimeout": "60",
        "KillWait": "30",
        "MaxJobCount": "200000",
        "MaxArraySize": "100001",
        "MpiDefault": "none",
        "GresTypes": ",".join(_gres_types(nodes)),
        **_accounting(cluster, nodes, folders),
    }
    if options.is_virtual:
        head["SlurmdParameters"] = "config_overrides"
    lines = [f"{key}={value}" for key, value in head.items() if value]
    lines += [_node_line(group, options) for group in _alike(nodes)]
    names = compress(node.entry.name for node in nodes)
    lines.append(f"PartitionName={cluster.partition} Nodes={names} Default=YES MaxTime=INFINITE State=UP")
    return _file("slurm.conf", lines)


def _accounting(cluster: ClusterEntry, nodes: Sequence[Node], folders: Folders) -> dict[str, str]:
    if not cluster.accounting:
        return {"AccountingStorageType": "accounting_storage/none"}
    models = dict.fromkeys(
        f"gres/gpu:{devices.slurm_type}" for node in nodes for devices in node.facts.devices
    )
    found = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": cluster.host(cluster.accounting).address,
        "AccountingStoragePort": str(cluster.slurmdbd_port),
        "AccountingStorageTRES": ",".join(["gres/gpu", *models]) if models else "",
    }
    # Clients of slurmdbd look for munge at its default place unless they are told.
    return found | ({"AccountingStoragePass": folders.munge_socket} if folders.munge_socket else {})


def _gres_types(nodes: Sequence[Node]) -> list[str]:
    shared = {node.entry.sharing for node in nodes if node.facts.devices} - {"none"}
    return [*(["gpu"] if any(node.facts.devices for node in nodes) else []), *sorted(shared)]


def _alike(nodes: Sequence[Node]) -> Iterable[list[Node]]:
    """Group nodes whose lines differ in their names only; virtual nodes keep their order of ports."""
    groups: dict[object, list[Node]] = defaultdict(list)
    for node in nodes:
        entry, facts = node.entry, node.facts
        hardware = (
            facts.sockets,
            facts.cores_per_socket,
            facts.threads_per_core,
            _memory_mib(facts),
            facts.devices,
        )
        shared = (entry.sharing, entry.shares, entry.reserve_memory_gib)
        groups[hardware, shared, entry.port is None].append(node)
    return groups.values()


def _node_line(group: Sequence[Node], options: Options) -> str:
    entry, facts = group[0].entry, group[0].facts
    names = [node.entry.name for node in group]
    words = {
        "NodeName": compress(names),
        "NodeHostname": _hosts(names, [node.facts.hostname or node.entry.name for node in group]),
        "NodeAddr": _hosts(names, [node.entry.address for node in group]),
        "Port": compress(str(node.entry.port) for node in group) if entry.port is not None else "",
        "CPUs": str(facts.cpus),
        "Sockets": str(facts.sockets),
        "CoresPerSocket": str(facts.cores_per_socket),
        "ThreadsPerCore": str(facts.threads_per_core),
        "RealMemory": str(_memory_mib(facts)),
        "MemSpecLimit": str(_reserved_mib(entry, facts)) if options.has_cgroups else "",
        "Gres": ",".join(_gres_of(entry, facts)),
        "State": "UNKNOWN",
    }
    return " ".join(f"{key}={value}" for key, value in words.items() if value)


def _hosts(names: Sequence[str], others: Sequence[str]) -> str:
    """Return the other names of nodes as a host list; empty if they are the same, one if all share it."""
    if list(names) == list(others):
        return ""
    return others[0] if len(set(others)) == 1 else compress(others)


def _memory_mib(facts: HostFacts) -> int:
    return max(1, int(facts.memory_mib * SETTLED_SHARE))


def _reserved_mib(entry: HostEntry, facts: HostFacts) -> int:
    return min(int(entry.reserve_memory_gib * MIB_PER_GIB), _memory_mib(facts) // 4)


def _gres_of(entry: HostEntry, facts: HostFacts) -> list[str]:
    found = [f"gpu:{devices.slurm_type}:{len(devices.files)}" for devices in facts.devices]
    return found + ([f"{entry.sharing}:{_shared_count(entry, facts)}"] if _is_shared(entry, facts) else [])


def _is_shared(entry: HostEntry, facts: HostFacts) -> bool:
    return entry.sharing != "none" and bool(facts.devices)


def _shared_count(entry: HostEntry, facts: HostFacts) -> int:
    each = MPS_PER_DEVICE if entry.sharing == "mps" else entry.shares
    return each * sum(len(devices.files) for devices in facts.devices)


def gres_conf(nodes: Sequence[Node]) -> str:
    """Return gres.conf: the device files of each node, and what may be shared."""
    lines: list[str] = []
    for devices, names in _by_value(
        (node, devices) for node in nodes for devices in node.facts.devices
    ).items():
        files = compress(devices.files)
        lines.append(f"NodeName={compress(names)} Name=gpu Type={devices.slurm_type} File={files}")
    shared = [node for node in nodes if _is_shared(node.entry, node.facts)]
    counts = _by_value((node, (node.entry.sharing, _shared_count(node.entry, node.facts))) for node in shared)
    lines += [
        f"NodeName={compress(names)} Name={sharing} Count={count}"
        for (sharing, count), names in counts.items()
    ]
    return _file("gres.conf", lines)


def _by_value(pairs: Iterable[tuple[Node, V]]) -> Mapping[V, list[str]]:
    """Return the names of the nodes that have each value."""
    names: dict[V, list[str]] = defaultdict(list)
    for node, value in pairs:
        names[value].append(node.entry.name)
    return names


def cgroup_conf() -> str:
    """Return cgroup.conf: tasks get the cores, the memory and the devices of their job and no others."""
    return _file(
        "cgroup.conf",
        ["ConstrainCores=yes", "ConstrainRAMSpace=yes", "ConstrainDevices=yes", "ConstrainSwapSpace=yes"],
    )


def _is_tree(nodes: Sequence[Node]) -> bool:
    return len({node.entry.rack for node in nodes}) > 1


def topology_conf(nodes: Sequence[Node]) -> str:
    """Return topology.conf: racks as leaf switches, pods above them, one switch above all. Empty for a single rack."""
    if not _is_tree(nodes):
        return _file("topology.conf", [])
    lines: list[str] = []
    by_pod: dict[str, list[str]] = defaultdict(list)
    ordered = sorted(nodes, key=lambda node: (node.entry.pod, node.entry.rack))
    for (pod, rack), group in itertools.groupby(ordered, key=lambda node: (node.entry.pod, node.entry.rack)):
        switch = _switch("rack", pod, rack)
        by_pod[pod].append(switch)
        lines.append(f"SwitchName={switch} Nodes={compress(node.entry.name for node in group)}")
    tops: list[str] = []
    for pod, racks in by_pod.items():
        if pod and len(by_pod) > 1:
            tops.append(_switch("pod", pod))
            lines.append(f"SwitchName={tops[-1]} Switches={','.join(racks)}")
        else:
            tops += racks
    return _file("topology.conf", [*lines, f"SwitchName=top Switches={','.join(tops)}"])


def _switch(kind: str, *names: str) -> str:
    return "-".join([kind, *(name for name in names if name)]) if any(names) else f"{kind}-unnamed"


def slurmdbd_conf(cluster: ClusterEntry, options: Options, password: str) -> str:
    """Return slurmdbd.conf; `password`: of its user in the database of the same host."""
    folders = options.folders
    host = cluster.host(cluster.accounting)
    words = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folders.munge_socket}" if folders.munge_socket else "",
        "AuthAltTypes": "auth/jwt",
        "AuthAltParameters": f"jwt_key={folders.etc}/jwt_hs256.key",
        "DbdHost": host.address if options.is_virtual else host.name,
        "DbdPort": str(cluster.slurmdbd_port),
        "SlurmUser": options.slurm_user,
        "PidFile": f"{folders.run}/slurmdbd.pid",
        "LogFile": f"{folders.log}/slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "slurm",
        "StoragePass": password,
        "StorageLoc": "slurm_acct_db",
    }
    return _file("slurmdbd.conf", [f"{key}={value}" for key, value in words.items() if value])


def _file(name: str, lines: Sequence[str]) -> str:
    head = f"# {name}, written by `pearl cluster plan` from the hosts file. Change that and plan again.\n"
    return head + "".join(line + "\n" for line in lines)
