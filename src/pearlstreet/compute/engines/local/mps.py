"""CUDA MPS: limits of memory and compute for tasks that hold shares of a device. Unproven on hardware.

The variables are those of NVIDIA's MPS guide. The center does not start the daemon: an operator does, and names its pipe folder.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from pearlstreet.compute.engines.protocol import DeviceGrant
from pearlstreet.compute.hardware.catalogue.mig import is_mig
from pearlstreet.compute.hardware.model import DeviceReport

CONTROL = "control"
MIB_PER_GIB = 1024


def daemon_runs(pipe_folder: str) -> bool:
    """Return whether a control daemon of MPS listens in a folder: it keeps a pipe there."""
    if not pipe_folder:
        return False
    try:
        return stat.S_ISFIFO((Path(pipe_folder) / CONTROL).stat().st_mode)
    except OSError:
        return False


def is_shared(grants: Sequence[DeviceGrant]) -> bool:
    """Return whether a task holds shares of devices."""
    return any(grant.memory_gib is not None or grant.compute_percent is not None for grant in grants)


def variables(
    grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport], pipe_folder: str
) -> dict[str, str]:
    """Return the variables that hold a task to its shares; none for a task with whole devices or others than NVIDIA's.

    MPS numbers devices as CUDA_VISIBLE_DEVICES lists them, and has one limit of compute for all devices of a process.
    """
    by_index = {device.index: device for device in devices}
    granted = [(grant, by_index[grant.index]) for grant in grants if grant.index in by_index]
    if not pipe_folder or not is_shared(grants):
        return {}
    if any(device.vendor.lower() != "nvidia" or is_mig(device.model) for _, device in granted):
        return {}
    values = {"CUDA_MPS_PIPE_DIRECTORY": pipe_folder}
    percents = [grant.compute_percent for grant, _ in granted if grant.compute_percent is not None]
    if percents:
        values["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = f"{min(percents):g}"
    limits = [
        f"{number}={max(1, int(grant.memory_gib * MIB_PER_GIB))}M"
        for number, (grant, _) in enumerate(granted)
        if grant.memory_gib is not None
    ]
    if limits:
        values["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = ",".join(limits)
    return values
