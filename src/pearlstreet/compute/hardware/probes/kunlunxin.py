"""Kunlunxin XPU, from `xpu_smi -m`: one line a device, columns by position.

0 bus, 2 device number, 3 serial number, 4 temperature, 8 power, 17 and 18 memory used and total in MiB, 19 use,
21 model in quotes.
"""

from __future__ import annotations

import re

from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import mib_as_gib, number
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_WORD = re.compile(r'"[^"]*"|\S+')
_BUS = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$", re.IGNORECASE)
_MOST_W = 2000
"""First-generation tools print power in mW; no card draws more watts than this."""


def read(output: str) -> list[Seen]:
    """Return devices in the output of `xpu_smi -m`."""
    found = []
    for line in output.splitlines():
        cells = _WORD.findall(line)
        if len(cells) < 22 or not _BUS.match(cells[0]) or not cells[2].isdecimal():
            continue
        power = number(cells[8])
        found.append(
            Seen(
                index=int(cells[2]),
                name=cells[21].strip('"'),
                uuid=cells[3],
                temperature_c=number(cells[4]),
                power_w=power / 1000 if power is not None and power > _MOST_W else power,
                memory_used_gib=mib_as_gib(cells[17]),
                memory_gib=mib_as_gib(cells[18]) or 0.0,
                utilization_percent=number(cells[19]),
            )
        )
    return found


PROBE = ToolProbe(
    vendor="Kunlunxin",
    tool="xpu_smi",
    command=("xpu_smi", "-m"),
    read=read,
    pci=PciRule(frozenset({"0x1d22"})),
)
