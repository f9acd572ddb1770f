"""Huawei Ascend, from the table that `npu-smi info` prints.

Each device takes two lines: number, name, health, power and temperature; then chip, bus, use and memory. Cards with two
dies add a column with the device's own number. Layout as of npu-smi 22 to 26.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.health import Signs
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import bar_rows, number, used_and_total_gib
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_FIRST = re.compile(r"^(\d+)\s+(\S.*)$")
_SECOND = re.compile(r"^(\d+)(?:\s+(\d+))?$")
_BUS = re.compile(r"^[0-9a-fx]{4,8}:[0-9a-fx]{2}:", re.IGNORECASE)
_VERSION = re.compile(r"npu-smi\s+(\S+)")
_WELL = frozenset({"OK", "Warning"})
"""npu-smi's `Warning` is a minor alarm that does not stop work; Alarm, Critical and UNKNOWN do."""


def read(output: str) -> list[Seen]:
    """Return devices in the output of `npu-smi info`."""
    found: list[Seen] = []
    for first, second in _pairs(output):
        name, cells = _FIRST.match(first[0]), _SECOND.match(second[0])
        if name is None or cells is None:
            continue
        readings = first[2].split()
        memory = used_and_total_gib(second[2])
        found.append(
            Seen(
                index=int(cells[2]) if cells[2] else len(found),
                name=name[2],
                uuid=second[1],
                memory_gib=memory[1] if memory else 0.0,
                memory_used_gib=memory[0] if memory else None,
                power_w=number(readings[0]) if readings and readings[0] != "-" else None,
                temperature_c=number(readings[1]) if len(readings) > 1 else None,
                utilization_percent=number(second[2].split()[0]) if second[2] else None,
                signs=Signs(fault=_fault(first[1])),
            )
        )
    return found


def _pairs(output: str) -> Iterator[tuple[list[str], list[str]]]:
    first: list[str] | None = None
    for cells in bar_rows(output):
        if len(cells) != 3:
            first = None
        elif first is not None and _BUS.match(cells[1]):
            yield first, cells
            first = None
        else:
            first = cells if _FIRST.match(cells[0]) else None


def _fault(health: str) -> Text | None:
    if health in _WELL:
        return None
    return text("{tool} reports the health {state}", tool="npu-smi", state=health or "-")


def _facts(output: str) -> dict[str, str]:
    match = _VERSION.search(output)
    return {"npu_smi": match[1]} if match else {}


PROBE = ToolProbe(
    vendor="Huawei",
    tool="npu-smi",
    command=("npu-smi", "info"),
    read=read,
    facts=_facts,
    pci=PciRule(frozenset({"0x19e5"}), ("0x1200",)),
)
