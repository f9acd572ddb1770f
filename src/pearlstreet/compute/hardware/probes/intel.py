"""Intel data-center GPUs through xpu-smi's JSON, and Gaudi through hl-smi's CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.probes.protocol import COMMAND_TIMEOUT_S, PciRule, Seen, Sighting
from pearlstreet.compute.hardware.probes.reading import amount_gib, json_in, number
from pearlstreet.compute.hardware.probes.tool import ToolProbe, failed, sighting

_STATS = {
    "XPUM_STATS_GPU_UTILIZATION": "utilization",
    "XPUM_STATS_POWER": "power",
    "XPUM_STATS_GPU_CORE_TEMPERATURE": "temperature",
    "XPUM_STATS_MEMORY_USED": "memory_used",
}

_PCI = PciRule(frozenset({"0x8086"}), ("0x0380",))


@dataclass(frozen=True, slots=True)
class XpuSmiProbe:
    """Max and Flex series. Asks for the list, then for each device's memory and readings."""

    vendor: str = "Intel"
    tool: str = "xpu-smi"
    untested_on_hardware: bool = True
    pci: PciRule = _PCI

    def detect(self, access: HostAccess) -> Sighting:
        listing = access.run(("xpu-smi", "discovery", "-j"), timeout_s=COMMAND_TIMEOUT_S)
        if listing.status != "ok":
            return failed(self.tool, listing)
        seen = [
            read_device(item, _ask(access, "discovery", item), _ask(access, "stats", item))
            for item in read_listing(listing.stdout)
        ]
        return sighting(self.vendor, self.tool, seen, listing)


def read_listing(output: str) -> list[Mapping[str, object]]:
    """Devices in `xpu-smi discovery -j`, as far as they are Intel's."""
    value = json_in(output)
    items = value.get("device_list") if isinstance(value, Mapping) else None
    return [
        item
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping)
        and "Intel" in f"{item.get('vendor_name', '')}{item.get('device_name', '')}"
    ]


def read_device(item: Mapping[str, object], details: str, stats: str) -> Seen:
    """Return one device from its list entry, `discovery -d N -j` and `stats -d N -j`."""
    more = json_in(details)
    size = number(more.get("memory_physical_size_byte")) if isinstance(more, Mapping) else None
    readings = _readings(stats)
    used_mib = readings.get("memory_used")
    return Seen(
        index=int(number(item.get("device_id")) or 0),
        name=str(item.get("device_name") or "Intel GPU"),
        uuid=str(item.get("uuid") or ""),
        memory_gib=size / GIB if size else 0.0,
        memory_used_gib=None if used_mib is None else used_mib / 1024,
        temperature_c=readings.get("temperature"),
        utilization_percent=readings.get("utilization"),
        power_w=readings.get("power"),
    )


def _readings(stats: str) -> dict[str, float]:
    value = json_in(stats)
    items = value.get("device_level") if isinstance(value, Mapping) else None
    found = {}
    for item in items if isinstance(items, list) else []:
        name = _STATS.get(str(item.get("metrics_type"))) if isinstance(item, Mapping) else None
        reading = number(item.get("value")) if name else None
        if name and reading is not None:
            found[name] = reading
    return found


def _ask(access: HostAccess, verb: str, item: Mapping[str, object]) -> str:
    command = ("xpu-smi", verb, "-d", str(item.get("device_id")), "-j")
    return access.run(command, timeout_s=COMMAND_TIMEOUT_S).stdout


def read_hl_smi(output: str) -> list[Seen]:
    """Return Gaudi cards in hl-smi's CSV: index, uuid, name, total, used, temperature, use, power."""
    found = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 8 and cells[0].isdecimal():
            found.append(
                Seen(
                    index=int(cells[0]),
                    uuid=cells[1],
                    name=cells[2],
                    memory_gib=amount_gib(cells[3]) or 0.0,
                    memory_used_gib=amount_gib(cells[4]),
                    temperature_c=number(cells[5]),
                    utilization_percent=number(cells[6]),
                    power_w=number(cells[7]),
                )
            )
    return found


XPU_SMI = XpuSmiProbe()
HL_SMI = ToolProbe(
    vendor="Intel",
    tool="hl-smi",
    command=(
        "hl-smi", "-Q",
        "index,uuid,name,memory.total,memory.used,temperature.aip,utilization.aip,power.draw",
        "-f", "csv,noheader",
    ),
    read=read_hl_smi,
    pci=PciRule(frozenset({"0x1da3"})),
)  # fmt: skip
