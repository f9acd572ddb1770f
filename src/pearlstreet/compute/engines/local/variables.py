"""Environment variables of a task. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pearlstreet.compute.engines.local import devices
from pearlstreet.compute.engines.local.folders import DRIVER_INSIDE
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
    """Return the environment variables of a task.

    `seen`: result of `folders.seen_at`; `inside`: whether a sandbox shows mounts at the paths that the order names. The
    order's variables override defaults but not the variables that only the engine knows, such as RANK.
    """
    threads = str(max(1, int(task.cpus)))
    values = {
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
    values |= given
    values["PATH"] = _with_driver(values, task, node) if order.image else _with_python(values["PATH"])
    values |= {name: f"{seen['work']}/{path}" for name, path in order.path_variables.items()}
    size = str(len(order.tasks))
    values |= {
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
    return values


def relocated(value: str, mounts: Sequence[Mount]) -> str:
    """Return `value` (a path, or several joined by colons) with the targets of mounts replaced by their sources.

    Without a sandbox a folder cannot appear at another path.
    """
    return ":".join(_relocated_one(part, mounts) for part in value.split(":"))


def _relocated_one(path: str, mounts: Sequence[Mount]) -> str:
    for mount in mounts:
        if path == mount.target or path.startswith(mount.target.rstrip("/") + "/"):
            return mount.source + path[len(mount.target.rstrip("/")) :]
    return path


def _with_driver(values: dict[str, str], task: TaskOrder, node: NodeReport) -> str:
    """Return PATH with the programs of the devices' driver, and add its libraries to those that are searched."""
    if devices.driver_files(task.devices, node.devices):
        libraries = values.get("LD_LIBRARY_PATH", "")
        values["LD_LIBRARY_PATH"] = f"{DRIVER_INSIDE}/lib:{libraries}".rstrip(":")
        return f"{values['PATH']}:{DRIVER_INSIDE}/bin"
    return values["PATH"]


def _with_python(path: str) -> str:
    """Return PATH with the server's Python at its end, for programs that find no other Python."""
    parts = path.split(":")
    return ":".join(
        [*parts, *(f"{prefix}/bin" for prefix in python_prefixes() if f"{prefix}/bin" not in parts)]
    )
