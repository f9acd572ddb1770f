"""Moore Threads MTT, from the table that `mthreads-gmi` prints: two lines a device, cells parted by bars."""

from __future__ import annotations

import re
from itertools import pairwise

from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import MIB_PER_GIB, number
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_FIRST = re.compile(
    r"^\|?\s*(\d+)\s+(MTT[^|]*?)\s*\|\s*([0-9a-f]{8}:[0-9a-f:.]+)\s*\|\s*(\S+)%\s+(\d+)MiB\((\d+)MiB\)",
    re.IGNORECASE,
)
_TEMPERATURE = re.compile(r"\|\s*(\d+)C\b")
_DRIVER = re.compile(r"Driver Version:\s*(\S+)")


def read(output: str) -> list[Seen]:
    """Return devices in the output of `mthreads-gmi`."""
    lines = output.splitlines()
    found = []
    for line, following in pairwise([*lines, ""]):
        match = _FIRST.match(line)
        if match is None:
            continue
        celsius = _TEMPERATURE.search(following)
        found.append(
            Seen(
                index=int(match[1]),
                name=match[2],
                uuid=match[3],
                utilization_percent=number(match[4]),
                memory_used_gib=int(match[5]) / MIB_PER_GIB,
                memory_gib=int(match[6]) / MIB_PER_GIB,
                temperature_c=float(celsius[1]) if celsius else None,
            )
        )
    return found


def _facts(output: str) -> dict[str, str]:
    match = _DRIVER.search(output)
    return {"mthreads_driver": match[1]} if match else {}


PROBE = ToolProbe(
    vendor="Moore Threads",
    tool="mthreads-gmi",
    command=("mthreads-gmi",),
    read=read,
    facts=_facts,
    pci=PciRule(frozenset({"0x1ed5"}), ("0x0300", "0x0302", "0x1200")),
)
