"""Asks a host what it has: processor, memory, devices with their files, system, clock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from pearlstreet.base.text import Text, text
from pearlstreet.compute.clusters.model import Devices, HostFacts
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.hardware.node import INDEX_STEP, probe_node

COMMAND_TIMEOUT_S = 20.0
CLOCK_OFFSET_MAX_S = 60.0
"""Difference of clocks above which munge refuses credentials; they live 300 s by default, and both ends may be off."""
_OS = re.compile(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', re.MULTILINE)
DEVICE_FILES = {
    "nvidia": "/dev/nvidia{index}",
    "amd": "/dev/dri/renderD{render}",
    "hygon": "/dev/dri/renderD{render}",
    "huawei": "/dev/davinci{index}",
    "cambricon": "/dev/cambricon_dev{index}",
    "moore threads": "/dev/mtgpu.{index}",
    "iluvatar corex": "/dev/iluvatar{index}",
    "metax": "/dev/dri/renderD{render}",
    "intel": "/dev/dri/renderD{render}",
    "habana": "/dev/accel/accel{index}",
}
"""Device file of each vendor's device by number, from the vendors' guides for containers; render nodes begin at 128."""
FIRST_RENDER = 128


def host_facts(host: HostAccess, now_s: Callable[[], float]) -> HostFacts:
    """Return what a host has. Nothing that a host lacks raises an error; `problems` say what keeps it out of a cluster."""
    report = probe_node(host)
    sockets, cores, threads = _processor(host, int(report.cpus))
    offset_s = _clock_offset_s(host, now_s)
    return HostFacts(
        sockets=sockets,
        cores_per_socket=cores,
        threads_per_core=threads,
        memory_mib=int(report.memory_gib * 1024),
        devices=_devices(report.devices),
        hostname=report.name.partition(".")[0],
        system=_system(host.read_text("/etc/os-release") or ""),
        has_systemd=(host.read_text("/proc/1/comm") or "").strip() == "systemd",
        clock_offset_s=offset_s,
        problems=tuple(_problems(report, offset_s)),
    )


def _system(release: str) -> str:
    """Return identifier and version in an os-release file."""
    words = dict(_OS.findall(release))
    return f"{words.get('ID', '')} {words.get('VERSION_ID', '')}".strip()


def _processor(host: HostAccess, cpus: int) -> tuple[int, int, int]:
    """Return sockets, cores per socket and threads per core as `lscpu` says; one socket of single threads without it."""
    answer = host.run(["lscpu", "-p=CPU,CORE,SOCKET"], timeout_s=COMMAND_TIMEOUT_S)
    rows = [line.split(",") for line in answer.stdout.splitlines() if line and not line.startswith("#")]
    places = {(row[2], row[1]) for row in rows if len(row) == 3}
    sockets = {socket for socket, _ in places}
    if answer.status != "ok" or not sockets or len(rows) % len(places) or len(places) % len(sockets):
        return 1, max(1, cpus), 1
    return len(sockets), len(places) // len(sockets), len(rows) // len(places)


def _devices(reports: Sequence[DeviceReport]) -> tuple[Devices, ...]:
    files: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        pattern = DEVICE_FILES.get(report.vendor.lower())
        if pattern is not None and report.healthy:
            number = report.index % INDEX_STEP
            files[report.model].append(pattern.format(index=number, render=FIRST_RENDER + number))
    return tuple(Devices(model, tuple(paths)) for model, paths in files.items())


def _clock_offset_s(host: HostAccess, now_s: Callable[[], float]) -> float | None:
    """Return the host's clock minus ours, measured against the middle of the question."""
    before_s = now_s()
    answer = host.run(["date", "+%s.%N"], timeout_s=COMMAND_TIMEOUT_S)
    after_s = now_s()
    try:
        return round(float(answer.stdout) - (before_s + after_s) / 2, 3)
    except ValueError:
        return None


def _problems(report: NodeReport, offset_s: float | None) -> list[Text]:
    found: list[Text] = []
    if report.health_reason is not None:
        found.append(report.health_reason)
    for device in report.devices:
        if not device.healthy:
            reason = device.health_reason or text("it is unhealthy")
            found.append(
                text(
                    "Device {index} ({model}): {reason}",
                    index=device.index,
                    model=device.model,
                    reason=reason,
                )
            )
        elif device.vendor.lower() not in DEVICE_FILES:
            found.append(
                text("The device files of {vendor} are not known; describe its devices", vendor=device.vendor)
            )
    if offset_s is not None and abs(offset_s) > CLOCK_OFFSET_MAX_S:
        found.append(text("Its clock differs by {seconds} s from this machine's", seconds=round(offset_s)))
    return found
