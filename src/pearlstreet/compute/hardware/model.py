"""Values that probing a machine returns; engines, the pool and the interfaces pass them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.text import Text


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One accelerator as a probe saw it."""

    index: int
    vendor: str
    model: str
    """Catalogue id such as `h100-sxm-80g`, or the vendor's own name when the catalogue does not know it."""
    memory_gib: float
    uuid: str = ""
    healthy: bool = True
    health_reason: Text | None = None
    link_group: int = 0
    """Devices of one node with the same number share its fastest link."""
    temperature_c: float | None = None
    utilization_percent: float | None = None
    memory_used_gib: float | None = None
    power_w: float | None = None
    untested: bool = False
    """Nobody has yet run the probe that found it on the real hardware."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One machine of an engine: what it has now. Amounts are what jobs may use, not what the host has."""

    name: str
    cpus: float
    memory_gib: float
    disk_gib: float
    devices: tuple[DeviceReport, ...] = ()
    healthy: bool = True
    health_reason: Text | None = None
    rack: str = ""
    pod: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Model of CPU, kernel, drivers: for people to read."""
    isolation: str = ""
    """How strongly jobs are isolated from each other (`hardware/isolation.py`); empty: its engine did not say."""
    isolation_gaps: tuple[Text, ...] = ()
    """What that isolation leaves open on this machine: for operators to read."""
