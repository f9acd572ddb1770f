"""NVIDIA, through nvidia-smi, for machines whose NVML cannot be called: those that are reached by ssh."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.probes.protocol import COMMAND_TIMEOUT_S, Seen, Sighting
from pearlstreet.compute.hardware.probes.reading import mib_as_gib, number
from pearlstreet.compute.hardware.probes.tool import failed, sighting

TOOL = "nvidia-smi"
FIELDS = (
    "index", "name", "uuid", "memory.total", "memory.used", "temperature.gpu", "utilization.gpu", "power.draw",
)  # fmt: skip
COMMAND = (TOOL, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")


def detect(access: HostAccess, vendor: str) -> Sighting:
    """Return the GPUs that nvidia-smi lists."""
    answer = access.run(COMMAND, timeout_s=COMMAND_TIMEOUT_S)
    if answer.status != "ok":
        return failed(TOOL, answer)
    return sighting(vendor, TOOL, list(read(answer.stdout)), answer)


def read(output: str) -> Iterator[Seen]:
    """Yield the devices of a query of FIELDS; lines that are none are left out."""
    for row in csv.reader(StringIO(output), skipinitialspace=True):
        if len(row) != len(FIELDS) or not row[0].strip().isdecimal():
            continue
        cells = dict(zip(FIELDS, (cell.strip() for cell in row), strict=True))
        yield Seen(
            index=int(cells["index"]),
            name=cells["name"],
            uuid=cells["uuid"],
            memory_gib=mib_as_gib(cells["memory.total"]) or 0.0,
            memory_used_gib=mib_as_gib(cells["memory.used"]),
            temperature_c=number(cells["temperature.gpu"]),
            utilization_percent=number(cells["utilization.gpu"]),
            power_w=number(cells["power.draw"]),
        )
