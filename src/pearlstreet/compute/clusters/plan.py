"""From a hosts file and what its hosts have to the files of a cluster. Pure but for reading the script that ships with us."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.clusters.keys import DATABASE_PASSWORD
from pearlstreet.compute.clusters.model import ClusterEntry, ClusterPlan, HostFacts, PlannedFile
from pearlstreet.compute.clusters.slurm_files import (
    Node,
    Options,
    cgroup_conf,
    gres_conf,
    slurm_conf,
    slurmdbd_conf,
    topology_conf,
)

INSTALL = "install.sh"
PROVEN = ("debian 12", "debian 13")
"""Distributions on which the installation has been run."""
EXPECTED = ("debian", "ubuntu")
"""Distributions whose packages the script knows by name."""


def plan_cluster(
    cluster: ClusterEntry,
    facts: Mapping[str, HostFacts],
    keys: Mapping[str, PlannedFile],
    options: Options | None = None,
) -> ClusterPlan:
    """Return the files of a cluster. `facts`: of each host by name. Raises InvalidInput naming hosts that cannot take part."""
    chosen = options or Options()
    _check(cluster, facts)
    nodes = [Node(host, facts[host.name]) for host in cluster.hosts if host.is_compute]
    hostnames = {name: seen.hostname for name, seen in facts.items() if seen.hostname}
    written: dict[str, str] = {
        "slurm.conf": slurm_conf(cluster, nodes, hostnames, chosen),
        "gres.conf": gres_conf(nodes),
        "topology.conf": topology_conf(nodes),
        "cluster.env": _environment(cluster, hostnames),
    }
    if chosen.has_cgroups:
        written["cgroup.conf"] = cgroup_conf()
    made = {name: PlannedFile(content.encode()) for name, content in written.items()}
    if cluster.accounting:
        password = keys[DATABASE_PASSWORD].content.decode()
        conf = slurmdbd_conf(cluster, chosen, password).encode()
        made["slurmdbd.conf"] = PlannedFile(conf, mode=0o600, is_secret=True)
    script = files(__package__).joinpath(INSTALL).read_bytes()
    made[INSTALL] = PlannedFile(script, mode=0o755)
    return ClusterPlan({**made, **keys}, tuple(_warnings(cluster, facts)))


def _check(cluster: ClusterEntry, facts: Mapping[str, HostFacts]) -> None:
    problems = [
        Problem(f"hosts.{name}", text("It has no memory that could be read"))
        for name, seen in facts.items()
        if seen.memory_mib <= 0 and cluster.host(name).is_compute
    ]
    if problems:
        raise InvalidInput(text("The cluster cannot be planned"), problems=problems)


def _warnings(cluster: ClusterEntry, facts: Mapping[str, HostFacts]) -> list[Text]:
    found = [
        text("{host}: {problem}", host=name, problem=problem)
        for name, seen in facts.items()
        for problem in seen.problems
    ]
    for name, seen in facts.items():
        if seen.hostname and seen.hostname != name and cluster.host(name).port is None:
            found.append(text("{host} calls itself {hostname}", host=name, hostname=seen.hostname))
        if seen.system and seen.system not in PROVEN:
            found.append(_unproven(name, seen.system))
    if any(host.sharing == "mps" for host in cluster.hosts):
        found.append(text("CUDA MPS has not been tested on hardware"))
    if not cluster.shared_folder:
        found.append(
            text("The hosts share no folder: inputs, logs and checkpoints are sent over the network")
        )
    return found


def _unproven(host: str, system: str) -> Text:
    if system.partition(" ")[0] in EXPECTED:
        return text(
            "{host} runs {system}, on which the installation has not been tested", host=host, system=system
        )
    return text(
        "{host} runs {system}, whose package names are a guess; read {script} first",
        host=host,
        system=system,
        script=INSTALL,
    )


def _environment(cluster: ClusterEntry, hostnames: Mapping[str, str]) -> str:
    """Return the settings of the installation script: which host has which part, by what hosts call themselves."""

    def own(name: str) -> str:
        return hostnames.get(name, name)

    words = {
        "CLUSTER": cluster.name,
        "CONTROLLER": own(cluster.controller),
        "ACCOUNTING": own(cluster.accounting) if cluster.accounting else "",
        "COMPUTE": " ".join(own(host.name) for host in cluster.hosts if host.is_compute),
        "SHARED_FOLDER": cluster.shared_folder,
        "MPS": " ".join(own(host.name) for host in cluster.hosts if host.sharing == "mps"),
        "RESTD_PORT": str(cluster.slurmrestd_port),
    }
    return "".join(f"{key}='{value}'\n" for key, value in words.items())
