"""The environment of a task. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pearlstreet.compute.engines.local import devices
from pearlstreet.compute.engines.local.policy import python_prefixes
from pearlstreet.compute.engines.protocol import AttemptOrder, Mount, TaskOrder
from pearlstreet.compute.hardware.model import NodeReport

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOPBACK = "127.0.0.1"


def task_variables(
    order: AttemptOrder,
    task: TaskOrder,
    node: NodeReport,
    seen: Mapping[str, str],
    *,
    port: int,
    inside: bool,
) -> dict[str, str]:
    """What a task finds in its environment. `seen`: `folders.seen_at`; `inside`: mounts are where the order wants them.

    The order's own variables win over defaults, never over what the engine alone can know.
    """
    threads = str(max(1, int(task.cpus)))
    found = {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": threads,
        "HOME": seen["home"],
        "TMPDIR": seen["tmp"],
        "USER": "pearl",
        "LOGNAME": "pearl",
    }
    given = dict(order.variables)
    if not inside:
        given = {name: relocated(value, order.mounts) for name, value in given.items()}
    found |= given
    found["PATH"] = _with_python(found["PATH"])
    found |= {name: f"{seen['work']}/{path}" for name, path in order.path_variables.items()}
    size = str(len(order.tasks))
    found |= {
        "PEARL_JOB_ID": order.job_id,
        "PEARL_ATTEMPT_ID": order.attempt_id,
        "PEARL_NODE": node.name,
        "PEARL_RANK": str(task.rank),
        "PEARL_TASKS": size,
        "PEARL_WORK": seen["work"],
        "PEARL_OUTPUTS": seen["outputs"],
        "PEARL_METRICS": seen["metrics"],
        "RANK": str(task.rank),
        "LOCAL_RANK": str(task.rank),
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "NODE_RANK": "0",
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        **devices.variables(task.devices, node.devices),
    }
    return found


def relocated(value: str, mounts: Sequence[Mount]) -> str:
    """`value` (a path, or a list of paths with colons) with mounts' targets replaced by their sources.

    Without a sandbox nothing can be shown at another place than it is.
    """
    return ":".join(_relocated_one(part, mounts) for part in value.split(":"))


def _relocated_one(path: str, mounts: Sequence[Mount]) -> str:
    for mount in mounts:
        if path == mount.target or path.startswith(mount.target.rstrip("/") + "/"):
            return mount.source + path[len(mount.target.rstrip("/")) :]
    return path


def _with_python(path: str) -> str:
    """The interpreter we run on is the last resort of a program that needs one."""
    parts = path.split(":")
    return ":".join(
        [*parts, *(f"{prefix}/bin" for prefix in python_prefixes() if f"{prefix}/bin" not in parts)]
    )
