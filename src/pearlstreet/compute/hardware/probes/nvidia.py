"""NVIDIA, through NVML (pynvml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.health import HealthLimits, Signs
from pearlstreet.compute.hardware.health_rules import THROTTLED, XID
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.probes import nvidia_smi
from pearlstreet.compute.hardware.probes.nvidia_events import XIDS
from pearlstreet.compute.hardware.probes.nvidia_mig import instances
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen, Sighting, report

T = TypeVar("T")

_LOST = frozenset({15, 16})
"""NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED."""

_THROTTLE = {
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""nvmlClocksEventReason bits that mean trouble; idle (0x1) and the configured power cap (0x4) do not."""

_MAX_LINKS = 36
"""NVML_NVLINK_MAX_LINKS."""
_REMOTE_SWITCH = "switch"


class _Lost(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Nvml:
    """NVML with its errors turned into None, and a lost device into _Lost."""

    module: Any

    def ask(self, function: str, *arguments: Any) -> Any:
        call = getattr(self.module, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except self.module.NVMLError as error:
            if getattr(error, "value", None) in _LOST:
                raise _Lost(str(error)) from error
            return None


_PCI = PciRule(frozenset({"0x10de"}), ("0x0300", "0x0302"))


@dataclass(frozen=True, slots=True)
class NvidiaProbe:
    """GPUs that the NVIDIA driver manages."""

    vendor: str = "NVIDIA"
    tool: str = "NVML"
    untested_on_hardware: bool = True
    pci: PciRule = _PCI

    def detect(self, access: HostAccess) -> Sighting:
        module = access.nvml()
        if module is None:
            return nvidia_smi.detect(access, self.vendor)
        try:
            module.nvmlInit()
        except module.NVMLError as error:
            return _no_driver(error)
        try:
            return self._all(_Nvml(module), access)
        except _Lost as lost:
            return Sighting(problem=text("The NVIDIA driver has lost a GPU: {error}", error=str(lost)))
        finally:
            _Nvml(module).ask("nvmlShutdown")

    def _all(self, nvml: _Nvml, access: HostAccess) -> Sighting:
        count = nvml.ask("nvmlDeviceGetCount") or 0
        devices = [self._one(nvml, index) for index in range(count)]
        addresses = {index: _address(nvml, index) for index in range(count)}
        groups = _link_groups({index: _peers(nvml, index) for index in range(count)}, addresses)
        linked = (replace(device, link_group=groups[device.index]) for device in devices)
        shown = (part for device in linked for part in _parts(nvml, access, device))
        return Sighting(tuple(shown), _facts(nvml))

    def _one(self, nvml: _Nvml, index: int) -> DeviceReport:
        try:
            handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                return self._broken(index, text("The NVIDIA driver cannot open this GPU"))
            return report(_seen(nvml, handle, index), self.vendor, untested=self.untested_on_hardware)
        except _Lost as lost:
            return self._broken(index, text("The NVIDIA driver has lost this GPU: {error}", error=str(lost)))

    def _broken(self, index: int, reason: Text) -> DeviceReport:
        return DeviceReport(
            index=index,
            vendor=self.vendor,
            model="unknown",
            memory_gib=0.0,
            healthy=False,
            health_reason=reason,
            untested=self.untested_on_hardware,
        )


def _parts(nvml: _Nvml, access: HostAccess, device: DeviceReport) -> tuple[DeviceReport, ...]:
    """Return the MIG instances of a divided GPU, else the GPU."""
    found = _quietly(lambda: instances(nvml, access, device), None)
    return (device,) if found is None else found


def _no_driver(error: Exception) -> Sighting:
    value = getattr(error, "value", None)
    if value in {9, 12}:  # NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND
        return Sighting(tool_missing=True)
    return Sighting(problem=text("The NVIDIA driver does not start: {error}", error=str(error)))


def _seen(nvml: _Nvml, handle: object, index: int) -> Seen:
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    power_mw = nvml.ask("nvmlDeviceGetPowerUsage", handle)
    use = nvml.ask("nvmlDeviceGetUtilizationRates", handle)
    slowdown = nvml.ask("nvmlDeviceGetTemperatureThreshold", handle, 1)  # NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
    return Seen(
        index=index,
        name=_string(nvml.ask("nvmlDeviceGetName", handle)) or "NVIDIA GPU",
        memory_gib=memory.total / GIB if memory else 0.0,
        uuid=_string(nvml.ask("nvmlDeviceGetUUID", handle)),
        temperature_c=nvml.ask("nvmlDeviceGetTemperature", handle, 0),  # NVML_TEMPERATURE_GPU
        utilization_percent=float(use.gpu) if use else None,
        memory_used_gib=memory.used / GIB if memory else None,
        power_w=power_mw / 1000 if power_mw is not None else None,
        counters=_counters(nvml, handle, index),
        signs=_signs(nvml, handle),
        limits=HealthLimits(temperature_c=float(slowdown)) if slowdown else HealthLimits(),
    )


def _signs(nvml: _Nvml, handle: object) -> Signs:
    reasons = _throttle_bits(nvml, handle)
    uncorrected = nvml.ask("nvmlDeviceGetTotalEccErrors", handle, 1, 0)  # uncorrected, since driver start
    rows = nvml.ask("nvmlDeviceGetRemappedRows", handle)
    return Signs(
        throttle=tuple(name for bit, name in _THROTTLE.items() if reasons & bit),
        uncorrected_errors=int(uncorrected or 0),
        remap_failed=bool(rows and len(rows) >= 4 and rows[3]),
    )


def _counters(nvml: _Nvml, handle: object, index: int) -> Mapping[str, float]:
    """Return the error counters that this device has; an unsupported one is left out."""
    asked = {
        "ecc_corrected": nvml.ask(
            "nvmlDeviceGetTotalEccErrors", handle, 0, 0
        ),  # corrected, since driver start
        "ecc_uncorrected": nvml.ask("nvmlDeviceGetTotalEccErrors", handle, 1, 0),
        "pcie_replays": nvml.ask("nvmlDeviceGetPcieReplayCounter", handle),
        "link_errors": _link_errors(nvml, handle),
        THROTTLED: float(any(_throttle_bits(nvml, handle) & bit for bit in _THROTTLE)),
    }
    xids = {f"{XID}{code}": float(count) for code, count in XIDS.counts(nvml.module, index).items()}
    return {name: float(value) for name, value in asked.items() if value is not None} | xids


def _link_errors(nvml: _Nvml, handle: object) -> int | None:
    """Return errors of all NVLinks together: replays, recoveries, CRC errors of flits and data; None without links."""
    found: int | None = None
    for link in range(_MAX_LINKS):
        if nvml.ask("nvmlDeviceGetNvLinkState", handle, link) != 1:
            continue
        for counter in range(4):
            count = nvml.ask("nvmlDeviceGetNvLinkErrorCounter", handle, link, counter)
            if count is not None:
                found = (found or 0) + int(count)
    return found


def _throttle_bits(nvml: _Nvml, handle: object) -> int:
    reasons = nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if reasons is None:
        reasons = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    return int(reasons or 0)


def _facts(nvml: _Nvml) -> Mapping[str, str]:
    cuda = nvml.ask("nvmlSystemGetCudaDriverVersion")
    facts = {
        "nvidia_driver": _string(nvml.ask("nvmlSystemGetDriverVersion")),
        "cuda_driver": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
    }
    return {name: value for name, value in facts.items() if value}


def _address(nvml: _Nvml, index: int) -> str:
    return _quietly(lambda: _bus(nvml.ask("nvmlDeviceGetPciInfo", _handle(nvml, index))), "")


def _peers(nvml: _Nvml, index: int) -> frozenset[str]:
    """Return bus addresses at the far ends of this GPU's active NVLinks; `switch` for an NVSwitch."""
    return _quietly(lambda: _active_peers(nvml, _handle(nvml, index)), frozenset())


def _active_peers(nvml: _Nvml, handle: object) -> frozenset[str]:
    peers = set()
    for link in range(_MAX_LINKS):
        if nvml.ask("nvmlDeviceGetNvLinkState", handle, link) != 1:
            continue
        kind = nvml.ask("nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
        remote = _bus(nvml.ask("nvmlDeviceGetNvLinkRemotePciInfo", handle, link))
        peers.add(_REMOTE_SWITCH if kind == 2 else remote)  # NVML_NVLINK_DEVICE_TYPE_SWITCH
    return frozenset(peers - {""})


def _handle(nvml: _Nvml, index: int) -> object:
    handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        raise _Lost(f"GPU {index} cannot be opened")
    return handle


def _quietly(work: Callable[[], T], otherwise: T) -> T:
    try:
        return work()
    except _Lost:
        return otherwise


def _bus(info: object) -> str:
    return _string(getattr(info, "busId", "")).lower() if info is not None else ""


def _string(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _link_groups(peers: Mapping[int, frozenset[str]], addresses: Mapping[int, str]) -> dict[int, int]:
    """Group numbers of devices joined by NVLink, directly or through a switch. 0 for all where there is none.

    Where some are joined, each device without a link is a group of its own.
    """
    if not any(peers.values()):
        return dict.fromkeys(peers, 0)
    by_address = {address: index for index, address in addresses.items() if address}
    leader = {index: index for index in peers}

    def top(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    switched = [index for index, far in peers.items() if _REMOTE_SWITCH in far]
    pairs = [(index, switched[0]) for index in switched]
    pairs += [(index, by_address[far]) for index, ends in peers.items() for far in ends if far in by_address]
    for one, other in pairs:
        low, high = sorted((top(one), top(other)))
        leader[high] = low
    numbers = {
        first: number for number, first in enumerate(dict.fromkeys(top(index) for index in sorted(peers)))
    }
    return {index: numbers[top(index)] for index in peers}
