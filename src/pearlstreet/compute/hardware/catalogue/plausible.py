"""Plausibility checks of catalogue rows: ranges and ratios that real devices obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pearlstreet.compute.hardware.catalogue.accelerator import Accelerator
from pearlstreet.compute.hardware.catalogue.names import exact_keys

BANDWIDTH_GBS: Mapping[str, tuple[float, float]] = {
    "DDR4": (20, 250),
    "LPDDR4X": (15, 600),
    "LPDDR5": (30, 1000),
    "GDDR5": (80, 500),
    "GDDR6": (100, 1200),
    "GDDR6X": (400, 1300),
    "GDDR7": (300, 2200),
    "HBM": (200, 20_000),
    "HBM2": (400, 2000),
    "HBM2e": (600, 4000),
    "HBM3": (1500, 7000),
    "HBM3e": (3000, 12_000),
    "SRAM": (10_000, 30_000_000),
}
"""Whole-card bandwidth from one narrow card to the widest shipped with that memory, GB/s."""

_RATIOS: tuple[tuple[str, str, float, float], ...] = (
    ("bf16", "fp16", 0.5, 4.0),  # half on MI100; more on Gaudi 3, whose fp16 is outside its matrix engine
    ("fp8", "bf16", 0.99, 4.1),
    ("int8", "fp16", 1.0, 8.2),  # eight times on consumer parts that halve fp16 with fp32 accumulation
    ("fp4", "fp8", 0.99, 4.1),
    ("fp16", "fp32", 1.9, 35.0),
    ("tf32", "fp32", 0.99, 16.5),
    ("fp32", "fp64", 0.99, 70.0),
)
"""(of, to, least, most): the range that the quotient of two dense peaks falls in on parts that exist.

A sparse rate in one column, or a slipped factor of ten, falls outside.
"""

_DATE = re.compile(r"^20\d\d(-(0[1-9]|1[0-2]))?$")


def implausibilities(entries: Iterable[Accelerator]) -> list[str]:
    """Return one message for each implausible figure, beginning with the row's id."""
    found: list[str] = []
    owner: dict[str, str] = {}
    for entry in entries:
        found += [f"{entry.id}: {what}" for what in (*_shape(entry), *_memory(entry), *_peaks(entry))]
        for name in sorted(exact_keys(entry)):
            if owner.setdefault(name, entry.id) != entry.id:
                found.append(f"{entry.id}: the name {name!r} already means {owner[name]}")
    return found


def _shape(entry: Accelerator) -> Iterable[str]:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.id):
        yield "the id is not lower-case words joined by dashes"
    if not (entry.vendor and entry.name and entry.family):
        yield "vendor, name or family is empty"
    if not _DATE.match(entry.release):
        yield f"release {entry.release!r} is not YYYY-MM"
    if entry.source and not _DATE.match(entry.source_date):
        yield f"source date {entry.source_date!r} is not YYYY or YYYY-MM"
    if entry.power_w is not None and not 5 <= entry.power_w <= 25_000:
        yield f"power of {entry.power_w} W"
    if entry.link_gbs is not None and not 8 <= entry.link_gbs <= 5000:
        yield f"link of {entry.link_gbs} GB/s"
    if not 1 <= entry.dies <= 8:
        yield f"{entry.dies} dies"


def _memory(entry: Accelerator) -> Iterable[str]:
    if entry.memory_gib is not None and not 0.1 <= entry.memory_gib <= 1024:
        yield f"memory of {entry.memory_gib} GiB"
    if entry.bandwidth_gbs is None:
        return
    if entry.memory_type not in BANDWIDTH_GBS:
        yield f"bandwidth without a known memory type ({entry.memory_type!r})"
        return
    least, most = BANDWIDTH_GBS[entry.memory_type]
    if not least <= entry.bandwidth_gbs <= most:
        yield f"{entry.bandwidth_gbs} GB/s from {entry.memory_type}, which gives {least:g} to {most:g}"


def _peaks(entry: Accelerator) -> Iterable[str]:
    for precision, peak in entry.peak_tflops.items():
        if not 0.5 <= peak <= 40_000:
            yield f"{precision} peak of {peak} TFLOPS"
    for over, under, least, most in _RATIOS:
        if over in entry.peak_tflops and under in entry.peak_tflops:
            quotient = entry.peak_tflops[over] / entry.peak_tflops[under]
            if not least <= quotient <= most:
                yield f"{over} is {quotient:.2f} times {under}; real parts have {least:g} to {most:g}"
