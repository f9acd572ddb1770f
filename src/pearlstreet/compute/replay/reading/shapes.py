"""Converts a total number of devices to a gang: the fewest equal tasks that fit on nodes of the cluster."""

from __future__ import annotations

from functools import lru_cache

from pearlstreet.compute.scheduling.rows import Request


def gang(devices: int, per_node: int) -> tuple[int, int]:
    """Return (tasks, devices of each): on as few nodes as can be, all tasks alike."""
    if devices <= 0:
        return 1, 0
    tasks = -(-devices // max(per_node, 1))
    while devices % tasks:
        tasks += 1
    return tasks, devices // tasks


@lru_cache(maxsize=4096)
def whole_devices(
    count: int, models: tuple[str, ...] = (), cpu_milli: int = 0, memory_mib: int = 0
) -> Request:
    """The request for whole devices; equal ones are one object."""
    return Request(models, count, None, cpu_milli, memory_mib)
