"""Values that probing a machine returns; engines, the pool and the interfaces pass them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.text import Text


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """An accelerator as reported by a probe."""

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
    """Whether the probe that reported it has never run on the real hardware."""
    counters: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Error counters since the driver started, by name (`health_rules.RULES`); empty where nothing reports them."""
    device_nodes: str = ""
    """Device files that it needs beside those of its vendor, separated by blanks: the capability files of a MIG instance."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node as reported by its engine. Amounts are what jobs may use, not what the host has."""

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
    """Level of isolation between jobs (`hardware/isolation.py`); empty: not reported by the engine."""
    isolation_gaps: tuple[Text, ...] = ()
    """Gaps of that isolation on this machine, in words for operators."""
