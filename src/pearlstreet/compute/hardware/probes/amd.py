"""AMD Instinct and Radeon, through rocm-smi or the newer amd-smi."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.probes.protocol import COMMAND_TIMEOUT_S, PciRule, Sighting
from pearlstreet.compute.hardware.probes.rocm import read_amd_smi, read_rocm_smi
from pearlstreet.compute.hardware.probes.tool import failed, sighting

ROCM_SMI = (
    "rocm-smi", "--showproductname", "--showuniqueid", "--showmeminfo", "vram",
    "--showtemp", "--showpower", "--showuse", "--json",
)  # fmt: skip

_PCI = PciRule(frozenset({"0x1002"}), ("0x0380", "0x1200"))


@dataclass(frozen=True, slots=True)
class AmdProbe:
    """Asks rocm-smi first, because every ROCm release has it; amd-smi where it is gone."""

    vendor: str = "AMD"
    tool: str = "rocm-smi or amd-smi"
    untested_on_hardware: bool = True
    pci: PciRule = _PCI

    def detect(self, access: HostAccess) -> Sighting:
        result = access.run(ROCM_SMI, timeout_s=COMMAND_TIMEOUT_S)
        if result.status == "ok":
            return sighting(self.vendor, "rocm-smi", read_rocm_smi(result.stdout), result)
        if result.status != "missing":
            return failed("rocm-smi", result)
        static = access.run(("amd-smi", "static", "--asic", "--vram", "--json"), timeout_s=COMMAND_TIMEOUT_S)
        if static.status != "ok":
            return failed("amd-smi", static)
        metric = access.run(("amd-smi", "metric", "--json"), timeout_s=COMMAND_TIMEOUT_S)
        return sighting(self.vendor, "amd-smi", read_amd_smi(static.stdout, metric.stdout), static)


PROBE = AmdProbe()
