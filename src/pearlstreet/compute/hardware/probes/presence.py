"""Vendors whose tools we cannot read honestly yet: their devices are noticed on the PCI bus, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.probes.protocol import PciRule, Sighting


@dataclass(frozen=True, slots=True)
class PresenceProbe:
    """Sees that devices are there; the PCI fallback reports them as not usable."""

    vendor: str
    pci: PciRule
    tool: str = ""
    untested_on_hardware: bool = True

    def detect(self, access: HostAccess) -> Sighting:
        return Sighting(tool_missing=True)


T_HEAD = PresenceProbe("Alibaba T-Head", PciRule(frozenset({"0x1ded"}), ("0x0302", "0x1200")))
GRAPHCORE = PresenceProbe("Graphcore", PciRule(frozenset({"0x1d95"})))
GROQ = PresenceProbe("Groq", PciRule(frozenset({"0x1de0"})))
TENSTORRENT = PresenceProbe("Tenstorrent", PciRule(frozenset({"0x1e52"})))
