"""Devices that show on the PCI bus while their tool is missing or silent: seen, named, kept out of scheduling."""

from __future__ import annotations

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.probes.protocol import PciRule, Probe

ROOT = "/sys/bus/pci/devices"


def functions(access: HostAccess, rule: PciRule) -> list[tuple[str, str]]:
    """Return (address, `vendor:device`) of every PCI function that `rule` accepts."""
    vendors, kinds, devices = (_ids(access, name) for name in ("vendor", "class", "device"))
    return [
        (address, f"{vendor[2:]}:{devices.get(address, '')[2:]}")
        for address, vendor in sorted(vendors.items())
        if vendor in rule.vendors and kinds.get(address, "").startswith(rule.classes)
    ]


def silent_devices(access: HostAccess, probe: Probe, reason: Text | None) -> tuple[DeviceReport, ...]:
    """Return an unhealthy report for each of the vendor's PCI functions; `reason` defaults to the missing tool."""
    why = reason or missing_tool(probe)
    return tuple(
        DeviceReport(
            index=index,
            vendor=probe.vendor,
            model=f"pci {device}",
            memory_gib=0.0,
            uuid=address,
            healthy=False,
            health_reason=why,
            untested=probe.untested_on_hardware,
        )
        for index, (address, device) in enumerate(functions(access, probe.pci))
    )


def missing_tool(probe: Probe) -> Text:
    """Why a device on the bus cannot be used."""
    if not probe.tool:
        return text(
            "Seen on the PCI bus only: Pearlstreet cannot read {vendor} devices yet", vendor=probe.vendor
        )
    return text("Seen on the PCI bus, but {tool} is not installed, so its state is unknown", tool=probe.tool)


def _ids(access: HostAccess, name: str) -> dict[str, str]:
    """Return one identifier (`vendor`, `class`, `device`) of every PCI function, by address."""
    return {address: value.strip().lower() for address, value in access.read_in_each(ROOT, name).items()}
