"""Writes a submission in the form of each version of slurmrestd, and as options of sbatch. Pure.

v0.0.38 (Slurm 22.05) has no field for a list of nodes and ignores `requeue`; v0.0.42 (Slurm 24.11) has both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pearlstreet.compute.engines.slurm.gres import format_gres
from pearlstreet.compute.engines.slurm.model import Submission

Body = Mapping[str, Any]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Search path of the job's script; the variables of the task itself are in the order, which is no environment of Slurm."""


def submit_v38(job: Submission) -> Body:
    """Return the body of a submission to v0.0.38. Raises ValueError for a list of nodes, which it cannot express."""
    if job.node_names:
        raise ValueError("v0.0.38 cannot express a list of nodes")
    fields: dict[str, Any] = {
        **_common(job),
        "nodes": [job.nodes, job.nodes],
        "memory_per_node": job.memory_mib_per_node,
        "environment": {"PATH": PATH},
    }
    if job.gres_per_node:
        fields["gres"] = format_gres(job.gres_per_node)
    if job.time_minutes is not None:
        fields["time_limit"] = job.time_minutes
    return {"job": fields, "script": job.script}


def submit_v42(job: Submission) -> Body:
    """Return the body of a submission to v0.0.42."""
    fields: dict[str, Any] = {
        **_common(job),
        "minimum_nodes": job.nodes,
        "maximum_nodes": job.nodes,
        "memory_per_node": _set(job.memory_mib_per_node),
        "environment": [f"PATH={PATH}"],
        "requeue": False,
    }
    if job.gres_per_node:
        fields["tres_per_node"] = format_gres(job.gres_per_node, prefix="gres/")
    if job.node_names:
        fields["required_nodes"] = list(job.node_names)
    if job.time_minutes is not None:
        fields["time_limit"] = _set(job.time_minutes)
    return {"job": {**fields, "script": job.script}}


def sbatch_options(job: Submission) -> list[str]:
    """Return the options of sbatch; the script is its input."""
    options = {
        "job-name": job.name,
        "comment": job.name,
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "reservation": job.reservation,
        "nodes": str(job.nodes),
        "ntasks": str(job.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(job.cpus_per_node),
        "mem": f"{job.memory_mib_per_node}M",
        "gres": format_gres(job.gres_per_node),
        "nodelist": ",".join(job.node_names),
        "time": "" if job.time_minutes is None else str(job.time_minutes),
        "output": job.output,
        "error": job.output,
        "chdir": job.folder,
        "export": "NIL",
    }
    return ["--parsable", "--no-requeue", *(f"--{name}={value}" for name, value in options.items() if value)]


SUBMIT_FORMS: Mapping[str, Callable[[Submission], Body]] = {"v0.0.38": submit_v38, "v0.0.42": submit_v42}
"""Version of the API → body of a submission; the newest version that slurmrestd offers is used."""
UPDATES_NODES = frozenset({"v0.0.40", "v0.0.41", "v0.0.42"})
"""Versions of the API that can change the state of a node."""
NAMES_NODES = frozenset({"v0.0.42"})
"""Versions that can express a list of nodes."""


def _common(job: Submission) -> dict[str, Any]:
    """Return the fields that all versions of the API name alike."""
    fields: dict[str, Any] = {
        "name": job.name,
        "comment": job.name,
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "reservation": job.reservation,
        "current_working_directory": job.folder,
        "standard_output": job.output,
        "standard_error": job.output,
        "tasks": job.nodes,
        "tasks_per_node": 1,
        "cpus_per_task": job.cpus_per_node,
    }
    return {name: value for name, value in fields.items() if value != ""}


def _set(number: int) -> Mapping[str, object]:
    return {"set": True, "infinite": False, "number": number}
