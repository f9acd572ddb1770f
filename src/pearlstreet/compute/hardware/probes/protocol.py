"""Protocol of probes: a probe looks for one vendor's devices through `HostAccess` and never raises because of what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pearlstreet.base.text import Text
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.health import NO_SIGNS, USUAL_LIMITS, HealthLimits, Signs, judge
from pearlstreet.compute.hardware.model import DeviceReport

COMMAND_TIMEOUT_S = 10.0
"""Time limit of one call of a vendor's tool; npu-smi and rocm-smi take up to a few seconds on eight cards."""


@dataclass(frozen=True, slots=True)
class PciRule:
    """Rule that recognises the vendor's accelerators among PCI functions."""

    vendors: frozenset[str]
    """Lower-case PCI vendor ids such as `0x10de`."""
    classes: tuple[str, ...] = ("0x",)
    """Prefixes of the PCI class, to leave network cards and display-only chips of the same vendor out."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A device as the vendor's tool describes it, before catalogue and health rules are applied."""

    index: int
    name: str
    memory_gib: float = 0.0
    uuid: str = ""
    link_group: int = 0
    temperature_c: float | None = None
    utilization_percent: float | None = None
    memory_used_gib: float | None = None
    power_w: float | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    signs: Signs = NO_SIGNS
    limits: HealthLimits = USUAL_LIMITS


@dataclass(frozen=True, slots=True)
class Sighting:
    """Result of a probe. `problem`: the tool exists, but its output could not be read."""

    devices: tuple[DeviceReport, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    problem: Text | None = None
    tool_missing: bool = False


class Probe(Protocol):
    """Probe of one vendor, registered in `probes.registry.PROBES`."""

    @property
    def vendor(self) -> str:
        """The vendor's name as the catalogue spells it."""
        ...

    @property
    def tool(self) -> str:
        """The program or library that it asks; empty when it only looks at the PCI bus."""
        ...

    @property
    def untested_on_hardware(self) -> bool:
        """True until somebody has run it on the real device; travels to every report and the guide."""
        ...

    @property
    def pci(self) -> PciRule:
        """Rule that finds devices whose tool is missing or silent."""
        ...

    def detect(self, access: HostAccess) -> Sighting:
        """Look for devices."""
        ...


def report(seen: Seen, vendor: str, *, untested: bool) -> DeviceReport:
    """Return the report of a device: identity from the catalogue, health from the rules."""
    entry = catalogue().identify(seen.name, seen.memory_gib)
    if entry is not None and entry.vendor != vendor:
        entry = None
    memory_gib = seen.memory_gib or (entry.device_memory_gib if entry else 0.0)
    raw = DeviceReport(
        index=seen.index,
        vendor=vendor,
        model=entry.id if entry else seen.name,
        memory_gib=round(memory_gib, 3),
        uuid=seen.uuid,
        link_group=seen.link_group,
        temperature_c=seen.temperature_c,
        utilization_percent=seen.utilization_percent,
        memory_used_gib=None if seen.memory_used_gib is None else round(seen.memory_used_gib, 3),
        power_w=seen.power_w,
        untested=untested,
        counters=seen.counters,
    )
    return judge(raw, seen.signs, seen.limits)
