"""Hygon DCU, through hy-smi, which speaks rocm-smi's JSON."""

from __future__ import annotations

from pearlstreet.compute.hardware.probes.protocol import PciRule
from pearlstreet.compute.hardware.probes.rocm import read_rocm_smi
from pearlstreet.compute.hardware.probes.tool import ToolProbe

PROBE = ToolProbe(
    vendor="Hygon",
    tool="hy-smi",
    command=(
        "hy-smi", "--showproductname", "--showuniqueid", "--showmemavailable", "--showmemuse",
        "--showtemp", "--showpower", "--showuse", "--json",
    ),
    read=read_rocm_smi,
    pci=PciRule(frozenset({"0x1d94"}), ("0x0380", "0x0b40", "0x1200")),
)  # fmt: skip
