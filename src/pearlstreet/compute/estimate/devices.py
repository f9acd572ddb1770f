"""Hardware of an estimate from the catalogue; what the catalogue leaves open is assumed and said."""

from __future__ import annotations

import re

from pearlstreet.compute.estimate.model import PEAKS, Hardware
from pearlstreet.compute.estimate.relatives import infer_peak
from pearlstreet.compute.hardware.catalogue import Accelerator, Catalogue

GIB = float(1 << 30)
_RACKS = {"NVL72": 72, "NVL36": 36}
_MANY = re.compile(r"(\d+)\s*x\s*(\d+)\s*(?:GbE|Gbps|Gb/s|Gb)\b", re.IGNORECASE)
ACHIEVABLE = {
    ("h100", 16): 0.80, ("h100", 8): 0.71, ("h200", 16): 0.80, ("h200", 8): 0.71, ("h800", 16): 0.80,
    ("h800", 8): 0.71, ("gh200", 16): 0.84, ("b200", 16): 0.78, ("b200", 8): 0.76, ("b300", 16): 0.79, ("b300", 8): 0.75,
    ("gb200", 16): 0.73, ("gb200", 8): 0.72, ("gb300", 16): 0.73, ("gb300", 8): 0.72, ("mi300x", 16): 0.51,
    ("mi325x", 16): 0.60, ("mi355x", 16): 0.68, ("gaudi2", 16): 0.97, ("gaudi3", 16): 0.74, ("910b", 16): 0.97,
}  # fmt: skip
"""(chip, bits) → share of the rated peak that large matrix products were measured to reach (mamf-finder tables of
"Machine Learning Engineering" by S. Bekman, 2025; FlagPerf micro-benchmarks for Ascend 910B)."""
REFERENCE = 0.87
"""The same of an A100, and of chips without a measurement."""
_ONE = re.compile(r"(?<![\dx])(\d+)\s*(?:Gbps|Gb/s|GbE|Gb)\b[^;,]*?per\s+(node|GPU)", re.IGNORECASE)
DEFAULT_NODE = 8


def find(name: str, book: Catalogue) -> Accelerator | None:
    """Return the entry that a name means; short ids such as `h100-nvl` mean the one id that begins so."""
    found = book.get(name) or book.find(name)
    if found is None:
        longer = [entry for entry in book if entry.id.startswith(f"{name.lower()}-")]
        found = longer[0] if longer else None
    return found


def device(
    entry: Accelerator,
    precision: str,
    count: int,
    book: Catalogue,
    *,
    per_node: int | None = None,
    interconnect: str = "",
    network_gbs: float | None = None,
) -> Hardware | None:
    """Return the hardware, or None if the catalogue has no figures of it. A peak that no data sheet gives is inferred from relatives."""
    assumed: list[str] = []
    peak, peak_deviation = _peak(entry, precision), 0.0
    if peak is None:
        inferred = infer_peak(entry, precision, book)
        if inferred is None:
            return None
        peak, peak_deviation = inferred.tflops * 1e12 / entry.dies, inferred.deviation
        assumed.append("peak")
    attention = _peak(entry, "bf16") or peak
    domain = per_node or _domain(entry, interconnect)
    memory = entry.device_memory_gib
    if memory <= 0:
        memory = 32.0
        assumed.append("memory")
    bandwidth = entry.bandwidth_gbs
    if bandwidth is None:
        bandwidth = attention / 1e12 * 6.0
        assumed.append("bandwidth")
    link = entry.link_gbs
    if link is None:
        link = 64.0 if entry.form_factor == "PCIe" else 400.0
        assumed.append("link")
    bridged = "bridge" in entry.link.lower()
    network = (network_gbs or 0.0) * 1e9 or read_network(interconnect, min(domain, 8))
    if network is None:
        network = _network(entry)
        assumed.append("network")
    power = entry.power_w
    if power is None:
        power = 400.0
        assumed.append("power")
    bits = 8 if peak > attention * 1.5 else 16
    sixteen = ACHIEVABLE.get((entry.family, 16), REFERENCE) / REFERENCE
    return Hardware(
        accelerator=entry.id,
        chip=entry.family,
        achievable=ACHIEVABLE.get((entry.family, bits), ACHIEVABLE.get((entry.family, 16), REFERENCE))
        / REFERENCE,
        attention_achievable=sixteen,
        count=count,
        domain=domain,
        peak=peak,
        attention_peak=min(attention, peak),
        bandwidth=bandwidth * 1e9 / entry.dies,
        memory=memory * GIB,
        # A bridge joins two cards (four of an H200 NVL); between more cards data cross PCIe.
        link=(32e9 if bridged and count > (8 if "nvl" in entry.id else 2) else link * 1e9 / 2.0),
        network=network,
        power_w=power / entry.dies,
        release=float(entry.release[:4] or 2020),
        vendor=entry.vendor,
        assumed=tuple(assumed),
        peak_deviation=peak_deviation,
    )


def _peak(entry: Accelerator, precision: str) -> float | None:
    for name in PEAKS.get(precision, (precision,)):
        found = entry.device_peak_tflops(name)
        if found is not None:
            return found * 1e12
    return None


def _domain(entry: Accelerator, interconnect: str) -> int:
    described = f"{entry.link} {interconnect}"
    for word, size in _RACKS.items():
        if word in described:
            return size
    if entry.link.startswith("ICI") or entry.id.startswith("tpu"):
        return 256
    return DEFAULT_NODE


def read_network(described: str, per_node: int) -> float | None:
    """A device's share of the network in bytes/s from words such as `8x200Gb HDR IB per node`; None: not said."""
    one = _ONE.search(described)
    many = _MANY.search(described)
    if many is not None:
        gbits = float(many[1]) * float(many[2]) / per_node
    elif one is not None:
        gbits = float(one[1]) / (1 if one[2].lower() == "gpu" else per_node)
    else:
        return None
    return gbits / 8.0 * 1e9 if gbits > 0 else None


def _network(entry: Accelerator) -> float:
    """Return the usual network of such a card: a device's share in bytes/s."""
    if entry.form_factor == "PCIe":
        return 6.25e9
    year = float(entry.release[:4] or 2020)
    return 12.5e9 if year < 2020 else 25e9 if year < 2022 else 50e9
