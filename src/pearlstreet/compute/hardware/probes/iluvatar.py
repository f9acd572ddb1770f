"""Iluvatar CoreX, through `ixsmi --query-gpu`, which follows nvidia-smi's CSV.

Power is left out: its field name changed between releases, and an unknown field makes the whole call fail.
"""

from __future__ import annotations

from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen
from pearlstreet.compute.hardware.probes.reading import amount_gib, number
from pearlstreet.compute.hardware.probes.tool import ToolProbe

_FIELDS = "index,name,uuid,memory.total,memory.used,utilization.gpu,temperature.gpu"


def read(output: str) -> list[Seen]:
    """Return devices in the CSV of `ixsmi`."""
    found = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 7 and cells[0].isdecimal():
            found.append(
                Seen(
                    index=int(cells[0]),
                    name=cells[1],
                    uuid=cells[2],
                    memory_gib=amount_gib(cells[3]) or 0.0,
                    memory_used_gib=amount_gib(cells[4]),
                    utilization_percent=number(cells[5]),
                    temperature_c=number(cells[6]),
                )
            )
    return found


PROBE = ToolProbe(
    vendor="Iluvatar CoreX",
    tool="ixsmi",
    command=("ixsmi", "--format=csv,noheader", f"--query-gpu={_FIELDS}"),
    read=read,
    pci=PciRule(frozenset({"0x1e3e"})),
)
