"""Probes one machine: all registered probes, CPU, memory and disk in one report. Broken hardware raises no error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.access import HostAccess, HostAmounts, LocalHost
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.hardware.probes.pci import silent_devices
from pearlstreet.compute.hardware.probes.protocol import Probe, Sighting
from pearlstreet.compute.hardware.probes.registry import all_probes

PROBE_TIMEOUT_S = 30.0
"""Time limit for the probe of one vendor, because a hanging driver blocks the call, not only the tool."""
INDEX_STEP = 100
"""Number of the second vendor's first device on a machine with several vendors; the third's is twice this."""
LEAST_DISK_SHARE = 0.02
"""Below this share of free space a machine takes no more work."""

_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_PRETTY = re.compile(r'^PRETTY_NAME="?([^"\n]+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Found:
    devices: tuple[DeviceReport, ...]
    facts: dict[str, str]
    problem: Text | None


def probe_node(access: HostAccess | None = None, probes: Sequence[Probe] | None = None) -> NodeReport:
    """Return what this machine has now. A vendor's silent or failing tool gives unhealthy devices with a reason.

    Keep one `access` between calls: it remembers which probe still hangs in a driver and does not ask it again.
    `probes`: by default all that are registered.
    """
    host = access or LocalHost()
    amounts = host.amounts()
    found = [_look(host, probe) for probe in (all_probes() if probes is None else probes)]
    facts = _host_facts(host, amounts)
    for look in found:
        facts |= look.facts
    reason = _node_reason(amounts, found)
    return NodeReport(
        name=amounts.name,
        cpus=round(amounts.cpus, 3),
        memory_gib=round(amounts.memory_bytes / GIB, 3),
        disk_gib=round(amounts.disk_free_bytes / GIB, 3),
        devices=_numbered(look.devices for look in found),
        healthy=reason is None,
        health_reason=reason,
        facts=facts,
    )


def _look(host: HostAccess, probe: Probe) -> _Found:
    sighting = host.guarded(
        f"{probe.vendor} {probe.tool}", lambda: _detect(host, probe), timeout_s=PROBE_TIMEOUT_S
    )
    if sighting is None:
        sighting = Sighting(problem=text("The {vendor} driver gives no answer", vendor=probe.vendor))
    if sighting.devices:
        return _Found(sighting.devices, dict(sighting.facts), sighting.problem)
    present = silent_devices(host, probe, sighting.problem)
    facts = dict(sighting.facts)
    if sighting.problem is not None and not present:
        facts[f"{probe.tool} problem"] = str(sighting.problem)
    return _Found(present, facts, sighting.problem if present else None)


def _detect(host: HostAccess, probe: Probe) -> Sighting:
    """Run a probe; an exception while it reads a tool's output becomes a problem in the report."""
    try:
        return probe.detect(host)
    except Exception as error:  # noqa: BLE001 - whatever a vendor's tool prints must not stop the machine's report
        return Sighting(
            problem=text(
                "The answer of {tool} cannot be read: {error}",
                tool=probe.tool or probe.vendor,
                error=f"{type(error).__name__}: {error}",
            )
        )


def _numbered(groups: Iterable[tuple[DeviceReport, ...]]) -> tuple[DeviceReport, ...]:
    """Return devices with numbers unique in the node; `index % INDEX_STEP` is the vendor's own number."""
    filled = [group for group in groups if group]
    return tuple(
        replace(
            device,
            index=device.index + number * INDEX_STEP,
            link_group=device.link_group + number * INDEX_STEP,
        )
        for number, group in enumerate(filled)
        for device in sorted(group, key=lambda device: device.index)
    )


def _node_reason(amounts: HostAmounts, found: Sequence[_Found]) -> Text | None:
    if amounts.disk_total_bytes and amounts.disk_free_bytes < LEAST_DISK_SHARE * amounts.disk_total_bytes:
        return text("The disk is full: {free} GiB free", free=round(amounts.disk_free_bytes / GIB, 1))
    problems = [look.problem for look in found if look.problem is not None]
    return problems[0] if problems and not any(d.healthy for look in found for d in look.devices) else None


def _host_facts(host: HostAccess, amounts: HostAmounts) -> dict[str, str]:
    cpu = _MODEL.search(host.read_text("/proc/cpuinfo") or "")
    system = _PRETTY.search(host.read_text("/etc/os-release") or "")
    facts = {
        "cpu": cpu[1].strip() if cpu else "",
        "kernel": (host.read_text("/proc/sys/kernel/osrelease") or "").strip(),
        "system": system[1].strip() if system else "",
        "disk_total_gib": f"{amounts.disk_total_bytes / GIB:.1f}",
        "disks": ", ".join(_disks(host)),
    }
    return {name: value for name, value in facts.items() if value}


def _disks(host: HostAccess) -> list[str]:
    """`name size` of every block device that is a disk of its own."""
    found = []
    rotational = host.read_in_each("/sys/block", "queue/rotational")
    for name, size in sorted(host.read_in_each("/sys/block", "size").items()):
        sectors = size.strip()
        if (
            not name.startswith(("loop", "ram", "zram", "dm-", "md", "sr"))
            and sectors.isdecimal()
            and int(sectors)
        ):
            spinning = rotational.get(name, "").strip() == "1"
            found.append(f"{name} {int(sectors) * 512 / GIB:.0f} GiB{' rotating' if spinning else ''}")
    return found
