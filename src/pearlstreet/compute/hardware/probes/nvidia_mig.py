"""MIG instances of an NVIDIA GPU as devices of their own, through NVML. Unproven on hardware."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.catalogue.mig import find_profile, mig_model
from pearlstreet.compute.hardware.model import DeviceReport

ENABLED = 1
"""NVML_DEVICE_MIG_ENABLE."""
INSTANCE_STEP = 1000
"""Offset of an instance's number: `index % 100` stays the number of its GPU, which names the GPU's device file."""
_MINOR = re.compile(r"DeviceFileMinor:\s*(\d+)")


class AsksNvml(Protocol):
    """NVML whose errors are None."""

    def ask(self, function: str, *arguments: Any) -> Any:
        """Return what a function of NVML answers; None for an error."""


def instances(nvml: AsksNvml, access: HostAccess, whole: DeviceReport) -> tuple[DeviceReport, ...] | None:
    """Return the MIG instances of a GPU, none if it has none yet; None: the GPU is not divided.

    In MIG mode only instances run programs, so the GPU itself is no device then. Error counters stay with the first instance,
    so that a rule which drains the node sees them once.
    """
    handle = nvml.ask("nvmlDeviceGetHandleByIndex", whole.index)
    mode = nvml.ask("nvmlDeviceGetMigMode", handle)
    if not mode or mode[0] != ENABLED:
        return None
    return tuple(_instances(nvml, access, whole, handle))


def _instances(
    nvml: AsksNvml, access: HostAccess, whole: DeviceReport, handle: object
) -> Iterator[DeviceReport]:
    first = True
    for number in range(nvml.ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        instance = nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if instance is None:
            continue  # the slot is empty
        memory = nvml.ask("nvmlDeviceGetMemoryInfo", instance)
        found = find_profile(_string(nvml.ask("nvmlDeviceGetName", instance)))
        yield replace(
            whole,
            index=whole.index + INSTANCE_STEP * (number + 1),
            model=mig_model(whole.model, found[1]) if found is not None else f"{whole.model}-mig",
            memory_gib=round(memory.total / GIB, 3) if memory else 0.0,
            memory_used_gib=round(memory.used / GIB, 3) if memory else None,
            utilization_percent=None,  # NVML tells use of the whole GPU only
            power_w=None,
            uuid=_string(nvml.ask("nvmlDeviceGetUUID", instance)),
            counters=whole.counters if first else {},
            device_nodes=" ".join(_capability_files(nvml, access, whole.index, instance)),
        )
        first = False


def _capability_files(nvml: AsksNvml, access: HostAccess, gpu: int, instance: object) -> Iterator[str]:
    """Yield the device files that give access to this instance and to no other."""
    of_gpu = nvml.ask("nvmlDeviceGetGpuInstanceId", instance)
    of_compute = nvml.ask("nvmlDeviceGetComputeInstanceId", instance)
    if of_gpu is None or of_compute is None:
        return
    folder = f"/proc/driver/nvidia/capabilities/gpu{gpu}/mig/gi{of_gpu}"
    for path in (f"{folder}/access", f"{folder}/ci{of_compute}/access"):
        minor = _MINOR.search(access.read_text(path) or "")
        if minor is not None:
            yield f"/dev/nvidia-caps/nvidia-cap{minor[1]}"


def _string(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
