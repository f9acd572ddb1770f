"""Cambricon MLU, from the indented text of `cnmon info` (driver 4 and later)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.health import Signs
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import amount_gib, number, sections
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_CARD = re.compile(r"^Card\s+(\d+)\s*$")
_WELL = frozenset({"good", "ok", "normal", "running"})


def read(output: str) -> list[Seen]:
    """Return devices in the output of `cnmon info`."""
    return [
        _device(int(card), fields) for card, fields in sections(output, _CARD) if "Product Name" in fields
    ]


def _device(index: int, fields: Mapping[str, str]) -> Seen:
    return Seen(
        index=index,
        name=fields["Product Name"],
        uuid=fields.get("UUID", ""),
        memory_gib=amount_gib(fields.get("Physical Memory Usage/Total")) or 0.0,
        memory_used_gib=amount_gib(fields.get("Physical Memory Usage/Used")),
        temperature_c=number(fields.get("Temperature/Chip")),
        utilization_percent=number(fields.get("Utilization/MLU Average")),
        power_w=number(fields.get("Power/Usage")),
        signs=Signs(fault=_fault(fields), memory_temperature_c=number(fields.get("Temperature/Memory"))),
    )


def _fault(fields: Mapping[str, str]) -> Text | None:
    state = fields.get("Health State/Device")
    if state is None or state.lower() in _WELL:
        return None
    return text("{tool} reports the health {state}", tool="cnmon", state=state)


PROBE = ToolProbe(
    vendor="Cambricon",
    tool="cnmon",
    command=("cnmon", "info"),
    read=read,
    pci=PciRule(frozenset({"0xcabc"})),
)
