"""What is wrong with a cluster of Slurm and how to repair it, from what was seen of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.compute.engines.slurm.model import SlurmNode
from pearlstreet.compute.engines.slurm.states import node_problem
from pearlstreet.compute.hardware.catalogue import catalogue

MIN_PYTHON = (3, 11)
SKEW_MAX_S = 2.0
"""Difference of clocks in seconds that usage and tokens bear: Slurm itself counts whole seconds."""
NAMED_MAX = 5
"""Names that one finding lists."""
CONSTRAINTS = ("ConstrainDevices", "ConstrainRAMSpace", "ConstrainCores")
NO_ACCOUNTING = ("accounting_storage/none", "(null)", "")


@dataclass(frozen=True, slots=True)
class TrialJob:
    """What became of a small job that was sent through the cluster."""

    problem: Text | None = None
    """Why nothing was learnt from it; None: it ran."""
    fix: Text | None = None
    is_blocking: bool = False
    """Whether jobs of the center would fail as it did."""
    node: str = ""
    python: tuple[int, int] | None = None
    has_bubblewrap: bool = False
    uid: int = -1
    skew_s: float = 0.0
    """Clock of the node minus that of this machine, in seconds, as far as it is certain."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What was seen of a cluster and of this machine."""

    partition: str
    address: str
    """How Slurm is reached, such as the address of slurmrestd; empty: by its commands."""
    failure: str = ""
    """Why Slurm did not tell its nodes; empty: it did."""
    is_reached: bool = True
    """Whether slurmrestd answered at all."""
    token_until: str = ""
    """Time until which a token signed now is valid; empty: no tokens are used."""
    key_is_open: bool = False
    """Whether other users of this machine can read the key that signs tokens."""
    key_file: str = ""
    nodes: Sequence[SlurmNode] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, int | None] = field(default_factory=dict)
    """Users as whom jobs run, with their numbers on this machine; None: unknown here."""
    config: Mapping[str, str] | None = None
    """Keys of slurm.conf and cgroup.conf; None: this machine has no command that tells them."""
    has_accounting: bool | None = None
    """Whether slurmdbd answers; None: not known."""
    sets_requeue: bool = True
    """Whether a job can be submitted with requeuing switched off."""
    isolation: str = "bubblewrap"
    trial: TrialJob | None = None
    """None: no trial job was sent, because something else is wrong."""


def findings(facts: ClusterFacts) -> Iterator[EngineCheck]:
    """Yield a check for each part that jobs of the center need."""
    yield _connection(facts)
    if facts.token_until:
        yield _token(facts)
    yield _users(facts)
    if facts.failure:
        return
    yield _version(facts)
    yield from _nodes(facts)
    yield from _trial(facts)
    yield from _config(facts)
    yield _accounting(facts)


def _connection(facts: ClusterFacts) -> EngineCheck:
    title = text("Slurm answers: {address}", address=facts.address or "scontrol")
    if facts.is_reached:
        return EngineCheck("connection", title)
    fix = text(
        "Start slurmrestd and slurmctld, and compare the address with the engine's table in the settings"
    )
    return EngineCheck(
        "connection", title, text("It did not: {words}", words=facts.failure), fix, blocking=True
    )


def _token(facts: ClusterFacts) -> EngineCheck:
    title = text(
        "Token: one signed now is valid until {time} UTC; each is renewed in time", time=facts.token_until
    )
    if facts.failure and facts.is_reached:
        return EngineCheck(
            "token",
            title,
            text("slurmrestd refuses it: {words}", words=facts.failure),
            text(
                "{file} must hold the same bytes as jwt_key of slurm.conf (AuthAltTypes=auth/jwt), the clocks must agree, and the user of the setting api_user must exist there",
                file=facts.key_file,
            ),
            blocking=True,
        )
    if facts.key_is_open:
        return EngineCheck(
            "token",
            title,
            text(
                "Other users of this machine can read {file}, and its holder owns the cluster",
                file=facts.key_file,
            ),
            text("Close it: {command}", command=f"chmod 600 {facts.key_file}"),
        )
    return EngineCheck("token", title)


def _users(facts: ClusterFacts) -> EngineCheck:
    title = text("Users of organisations: {count} of them", count=len(facts.users))
    unknown = [name for name, uid in facts.users.items() if uid is None]
    slurm_user = (facts.config or {}).get("SlurmUser", "").partition("(")[0]
    powerful = [name for name, uid in facts.users.items() if uid == 0 or name == slurm_user]
    if powerful:
        problem = text(
            "Jobs would run as {names}, who may do everything on the cluster", names=_named(powerful)
        )
        fix = text("Name ordinary users in the key users of the engine")
        return EngineCheck("users", title, problem, fix, blocking=True)
    if unknown:
        problem = text("This machine does not know {names}", names=_named(unknown))
        fix = text(
            "Create them with the same numbers here and on every node: {command}",
            command=f"useradd --system {unknown[0]}",
        )
        return EngineCheck("users", title, problem, fix, blocking=len(unknown) == len(facts.users))
    return EngineCheck("users", title)


def _version(facts: ClusterFacts) -> EngineCheck:
    versions = sorted({node.facts.get("slurm", "") for node in facts.nodes} - {""})
    title = text("Version of Slurm: {versions}", versions=", ".join(versions) or "-")
    if len(versions) > 1:
        problem = text("The nodes run different versions")
        return EngineCheck("version", title, problem, text("Install the version of slurmctld on all nodes"))
    return EngineCheck("version", title)


def _nodes(facts: ClusterFacts) -> Iterator[EngineCheck]:
    own = [node for node in facts.nodes if facts.partition in node.partitions]
    title = text("Nodes of the partition {partition}: {count}", partition=facts.partition, count=len(own))
    if not own:
        known = sorted({name for node in facts.nodes for name in node.partitions})
        problem = text("Slurm has no node in this partition; it has {names}", names=", ".join(known) or "-")
        yield EngineCheck(
            "nodes", title, problem, text("Correct the key partition of the engine"), blocking=True
        )
        return
    bad = [node for node in own if node_problem(node.states) is not None]
    if bad:
        reasons = sorted({node.reason for node in bad} - {""})
        problem = text(
            "Some take no jobs ({count}): {names} ({reason})",
            count=len(bad),
            names=_named([node.name for node in bad]),
            reason=_named(reasons) or "-",
        )
        fix = text(
            "Repair them, then: {command}", command=f"scontrol update nodename={bad[0].name} state=resume"
        )
        yield EngineCheck("nodes", title, problem, fix, blocking=len(bad) == len(own))
    else:
        yield EngineCheck("nodes", title)
    yield _accelerators(own, facts.models)


def _accelerators(nodes: Sequence[SlurmNode], models: Mapping[str, str]) -> EngineCheck:
    gpus = [item for node in nodes for item in node.gres if item.name == "gpu"]
    title = text("Accelerators: {count}", count=sum(item.count for item in gpus))
    if not gpus:
        problem = text("No node has a gres of the name gpu, so only CPU jobs run there")
        fix = text(
            "Describe the devices in gres.conf with Type and File, and add Gres=gpu:TYPE:COUNT to the nodes"
        )
        return EngineCheck("accelerators", title, problem, fix)
    kinds = sorted({item.kind for item in gpus})
    unknown = [kind for kind in kinds if _model(kind, models) is None]
    if unknown:
        problem = text(
            "The catalogue does not know the types {names}, so they have no price", names=_named(unknown)
        )
        fix = text(
            "Name their models in the engine's table: {example}",
            example=f'models = "{unknown[0] or "gpu"}=h100-sxm-80g"',
        )
        return EngineCheck("accelerators", title, problem, fix)
    return EngineCheck("accelerators", title)


def _model(kind: str, models: Mapping[str, str]) -> object | None:
    name = models.get(kind, kind)
    return (catalogue().get(name) or catalogue().find(name)) if name else None


def _trial(facts: ClusterFacts) -> Iterator[EngineCheck]:
    trial = facts.trial
    if trial is None:
        return
    title = text("Trial job on {node}", node=trial.node or "-")
    if trial.problem is not None:
        yield EngineCheck("trial", title, trial.problem, trial.fix, blocking=trial.is_blocking)
        return
    yield EngineCheck("trial", title)
    shown = ".".join(map(str, trial.python or ()))
    title = text("Python of the nodes: {version}", version=shown or "-")
    if trial.python is None or trial.python < MIN_PYTHON:
        fix = text("Install Python 3.11 or newer on the nodes and name it in the key python of the engine")
        yield EngineCheck("python", title, text("It is older than 3.11"), fix, blocking=True)
    else:
        yield EngineCheck("python", title)
    title = text("bubblewrap of the nodes")
    if trial.has_bubblewrap or facts.isolation != "bubblewrap":
        yield EngineCheck("bubblewrap", title)
    else:
        problem = text("A trial command in its sandbox failed, and the settings demand it")
        fix = text(
            "Install bubblewrap on the nodes and allow user namespaces there, or set isolation of the engine lower"
        )
        yield EngineCheck("bubblewrap", title, problem, fix, blocking=True)
    title = text("Clocks of node and server differ by at most {seconds} s", seconds=f"{SKEW_MAX_S:g}")
    if abs(trial.skew_s) > SKEW_MAX_S:
        problem = text(
            "The clock of {node} is {seconds} s off", node=trial.node, seconds=f"{trial.skew_s:+.0f}"
        )
        fix = text("Run chrony or another NTP client on the server and on all nodes")
        yield EngineCheck("clock", title, problem, fix)
    else:
        yield EngineCheck("clock", title)


def _config(facts: ClusterFacts) -> Iterator[EngineCheck]:
    title = text("Control groups of Slurm")
    if facts.config is None:
        problem = text("The configuration could not be read: scontrol does not reach the cluster from here")
        fix = text(
            "Install slurm-client here, or compare slurm.conf and cgroup.conf with docs/guides/slurm.md by hand"
        )
        yield EngineCheck("cgroups", title, problem, fix)
        return
    open_ones = [key for key in CONSTRAINTS if facts.config.get(key, "no").lower() != "yes"]
    if "cgroup" not in facts.config.get("ProctrackType", ""):
        problem = text("Slurm does not hold jobs in control groups: what a job leaves running is hard to end")
        fix = text(
            "Set in slurm.conf: {lines}",
            lines="ProctrackType=proctrack/cgroup, TaskPlugin=task/cgroup,task/affinity",
        )
        yield EngineCheck("cgroups", title, problem, fix)
    elif open_ones or "task/cgroup" not in facts.config.get("TaskPlugin", ""):
        problem = text(
            "Slurm does not keep jobs to their share: {keys}", keys=", ".join(open_ones) or "TaskPlugin"
        )
        fix = text(
            "Set in slurm.conf: {lines}; in cgroup.conf: {more}",
            lines="TaskPlugin=task/cgroup,task/affinity",
            more=", ".join(f"{key}=yes" for key in CONSTRAINTS),
        )
        yield EngineCheck("cgroups", title, problem, fix)
    else:
        yield EngineCheck("cgroups", title)
    title = text("Slurm leaves restarts to the center")
    if not facts.sets_requeue and facts.config.get("JobRequeue", "1") != "0":
        problem = text(
            "JobRequeue is 1: after a failed node Slurm queues our job again, which then takes nodes for nothing"
        )
        yield EngineCheck("requeue", title, problem, text("Set in slurm.conf: {lines}", lines="JobRequeue=0"))
    else:
        yield EngineCheck("requeue", title)


def _accounting(facts: ClusterFacts) -> EngineCheck:
    title = text("Accounting of Slurm")
    known = facts.has_accounting
    if known is None and facts.config is not None:
        known = facts.config.get("AccountingStorageType", "") not in NO_ACCOUNTING
    if known:
        return EngineCheck("accounting", title)
    problem = text("slurmdbd keeps no accounts, so usage cannot be compared with what Slurm measured")
    if known is None:
        problem = text("It is not known whether slurmdbd keeps accounts")
    fix = text("Set up slurmdbd and AccountingStorageType=accounting_storage/slurmdbd")
    return EngineCheck("accounting", title, problem, fix)


def _named(names: Sequence[str]) -> str:
    more = f" … (+{len(names) - NAMED_MAX})" if len(names) > NAMED_MAX else ""
    return ", ".join(name or '""' for name in names[:NAMED_MAX]) + more
