"""MetaX, from the table that `mx-smi` prints: two lines a device."""

from __future__ import annotations

import re
from itertools import pairwise

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.health import Signs
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import bar_rows, number, used_and_total_gib
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_BUS = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$", re.IGNORECASE)
_NAME = re.compile(r"^(\d+)\s+(.+?)(?:\s{2,}(?:On|Off))?$")
_DRIVER = re.compile(r"Kernel Mode Driver Version:\s*(\S+)")
_HOT = re.compile(r"^(\d+)C\b")
_POWER = re.compile(r"(\d+(?:\.\d+)?)W\s*/")


def read(output: str) -> list[Seen]:
    """Return devices in the output of `mx-smi`."""
    rows = list(bar_rows(output))
    found = []
    for first, second in pairwise(rows):
        if len(first) != 3 or len(second) != 3 or not _BUS.match(first[1]):
            continue
        name, memory = _NAME.match(first[0]), used_and_total_gib(second[1])
        if name is None or memory is None:
            continue
        celsius, watts = _HOT.match(second[0]), _POWER.search(second[0])
        found.append(
            Seen(
                index=int(name[1]),
                name=name[2].strip(),
                uuid=first[1],
                memory_used_gib=memory[0],
                memory_gib=memory[1],
                utilization_percent=number(first[2]),
                temperature_c=float(celsius[1]) if celsius else None,
                power_w=float(watts[1]) if watts else None,
                signs=Signs(fault=_fault(second[2])),
            )
        )
    return found


def _fault(state: str) -> Text | None:
    if state.lower() in {"", "available"}:
        return None
    return text("{tool} reports the health {state}", tool="mx-smi", state=state)


def _facts(output: str) -> dict[str, str]:
    match = _DRIVER.search(output)
    return {"metax_driver": match[1]} if match else {}


PROBE = ToolProbe(
    vendor="MetaX",
    tool="mx-smi",
    command=("mx-smi",),
    read=read,
    facts=_facts,
    pci=PciRule(frozenset({"0x9999"})),
)
