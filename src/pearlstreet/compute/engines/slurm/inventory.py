"""Makes reports of nodes from what Slurm says about them, and takes off what jobs of direct users have. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pearlstreet.base.text import text
from pearlstreet.compute.engines.slurm.gres import total
from pearlstreet.compute.engines.slurm.model import Share, SlurmJob, SlurmNode
from pearlstreet.compute.engines.slurm.states import JobPhase, node_problem
from pearlstreet.compute.engines.slurm.topology import NodePlace
from pearlstreet.compute.hardware.catalogue import Accelerator, catalogue
from pearlstreet.compute.hardware.catalogue.mig import find_profile, mig_model
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport

MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the settings say about the nodes."""

    partition: str
    isolation: str
    models: Mapping[str, str] = field(default_factory=dict)
    """Type of a generic resource → model of the catalogue, where the catalogue does not know the type."""
    places: Mapping[str, NodePlace] = field(default_factory=dict)
    """Position of nodes in Slurm's topology, by Slurm's name."""


def foreign_shares(jobs: Iterable[SlurmJob], ours: Collection[str]) -> dict[str, list[Share]]:
    """Return, by node, what jobs have that are none of our attempts."""
    found: dict[str, list[Share]] = {}
    for job in jobs:
        if job.attempt_id not in ours and job.phase in (JobPhase.STARTING, JobPhase.RUNNING, JobPhase.ENDING):
            for share in job.shares:
                found.setdefault(share.node, []).append(share)
    return found


def report_node(node: SlurmNode, name: str, foreign: Sequence[Share], settings: NodeSettings) -> NodeReport:
    """Return the report of a node: what our jobs may use of it while the jobs of direct users run."""
    problem = node_problem(node.states)
    cpus = max(node.cpus - sum(share.cpus for share in foreign), 0)
    memory_mib = max(node.memory_mib - sum(share.memory_mib for share in foreign), 0)
    reason = problem
    if problem is not None and node.reason:
        reason = text("{problem}: {reason}", problem=problem, reason=node.reason[:200])
    place = settings.places.get(node.name, NodePlace())
    return NodeReport(
        name=name,
        rack=place.rack,
        pod=place.pod,
        cpus=float(cpus),
        memory_gib=memory_mib / MIB_PER_GIB,
        disk_gib=0.0,
        devices=_devices(node, foreign, settings),
        healthy=problem is None,
        health_reason=reason,
        facts=node.facts,
        isolation=settings.isolation,
    )


def kinds_by_model(nodes: Iterable[SlurmNode], models: Mapping[str, str]) -> dict[str, str]:
    """Return the type of Slurm's generic resource for each model of the nodes' devices, as reports name it."""
    kinds = dict.fromkeys(item.kind for node in nodes for item in node.gres if item.name == "gpu")
    found = {}
    for kind in kinds:
        model, entry = _model(kind, models)
        found[entry.id if entry is not None else model] = kind
    return found


def _model(kind: str, models: Mapping[str, str]) -> tuple[str, Accelerator | None]:
    """Return the model of a type of generic resource, and its entry in the catalogue.

    The type of a MIG instance (`a100_3g.20gb`) is an instance of the model that the words before its profile mean.
    """
    model = models.get(kind, kind or "gpu")
    entry = catalogue().get(model) or catalogue().find(model)
    found = find_profile(model) if entry is None else None
    if found is None:
        return model, entry
    parent, profile = found
    parent = models.get(parent, parent)
    whole = catalogue().get(parent) or catalogue().find(parent.replace("_", " "))
    name = mig_model(whole.id if whole is not None else parent or "gpu", profile)
    return name, catalogue().get(name)


def free_part(node: SlurmNode, report: NodeReport) -> NodeReport:
    """Return the report of a node with only what no job of Slurm has now."""
    used = total(node.gres_used, "gpu")
    shards = total(node.gres, "shard")
    if shards:
        used += math.ceil(total(node.gres_used, "shard") * len(report.devices) / shards)
    return replace(
        report,
        cpus=float(max(node.cpus - node.cpus_used, 0)),
        memory_gib=max(node.memory_mib - node.memory_used_mib, 0) / MIB_PER_GIB,
        devices=report.devices[: max(len(report.devices) - used, 0)],
    )


def _devices(node: SlurmNode, foreign: Sequence[Share], settings: NodeSettings) -> tuple[DeviceReport, ...]:
    taken = {
        index
        for share in foreign
        for item in share.gres
        if item.name in ("gpu", "shard")
        for index in item.indices
    }
    unnamed = sum(
        total(share.gres, "gpu") for share in foreign if not any(item.indices for item in share.gres)
    )
    found: list[DeviceReport] = []
    gpus = [item for item in node.gres if item.name == "gpu"]
    is_near_one = all(len(item.sockets) == 1 for item in gpus)
    for item in node.gres:
        if item.name != "gpu":
            continue
        model, entry = _model(item.kind, settings.models)
        for _ in range(item.count):
            index = len(found)
            is_taken = index in taken or index >= sum(i.count for i in gpus) - unnamed
            found.append(
                DeviceReport(
                    index=index,
                    vendor=entry.vendor.lower() if entry is not None else "nvidia",
                    model=entry.id if entry is not None else model,
                    # Devices of different sockets reach each other through the processors' link.
                    link_group=item.sockets[0] if is_near_one else 0,
                    memory_gib=entry.device_memory_gib if entry is not None else 0.0,
                    healthy=not is_taken,
                    health_reason=text("A job of a direct user of the cluster has it") if is_taken else None,
                )
            )
    return tuple(found)
