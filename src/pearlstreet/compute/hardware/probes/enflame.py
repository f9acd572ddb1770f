"""Enflame GCU, from the indented text of `efsmi -q`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.health import Signs
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import amount_gib, number, sections
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_DEVICE = re.compile(r"^\s*DEV ID\s+(\d+)\s*$")


def read(output: str) -> list[Seen]:
    """Return devices in the output of `efsmi -q`; older drivers say Mem Size and Mem Usage."""
    return [_device(int(index), fields) for index, fields in sections(output, _DEVICE) if fields]


def _device(index: int, fields: Mapping[str, str]) -> Seen:
    memory = "Device Mem Info/"
    return Seen(
        index=index,
        name=fields.get("Device Info/Dev Name", "Enflame GCU"),
        uuid=fields.get("Device Info/Dev UUID", ""),
        memory_gib=amount_gib(fields.get(memory + "Total Size") or fields.get(memory + "Mem Size")) or 0.0,
        memory_used_gib=amount_gib(fields.get(memory + "Used Size") or fields.get(memory + "Mem Usage")),
        temperature_c=number(fields.get("Temperature Info/GCU Temp")),
        utilization_percent=number(fields.get("Device Usage Info/GCU Usage")),
        power_w=number(fields.get("Power Info/Cur Power")),
        signs=Signs(fault=_fault(fields), remap_failed=fields.get("RMA Info/Flags") == "True"),
    )


def _fault(fields: Mapping[str, str]) -> Text | None:
    state = fields.get("Device Info/Health")
    if state is None or state == "True":
        return None
    return text("{tool} reports the health {state}", tool="efsmi", state=state)


PROBE = ToolProbe(
    vendor="Enflame",
    tool="efsmi",
    command=("efsmi", "-q"),
    read=read,
    pci=PciRule(frozenset({"0x1e36"})),
)
