"""A row of the accelerator catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PRECISIONS = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")
"""Number formats with a column of their own; int8 counts operations, the rest floating-point operations."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Rated figures of a card. None or a missing precision means unknown, never zero."""

    id: str
    """Catalogue id such as `h100-sxm-80g`."""
    family: str
    """Name that covers all variants of a model, such as `h100`."""
    vendor: str
    name: str
    aliases: tuple[str, ...] = ()
    """Names that drivers and users give it."""
    form_factor: str = ""
    release: str = ""
    """YYYY-MM; YYYY-01 where only the year is known."""
    peak_tflops: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Precision → dense peak in 10¹² operations/s, of the matrix engine where there is one."""
    memory_gib: float | None = None
    memory_type: str = ""
    bandwidth_gbs: float | None = None
    """Memory bandwidth, 10⁹ bytes/s."""
    link: str = ""
    link_gbs: float | None = None
    """Bandwidth to neighbours in the node, sum of both directions, in 10⁹ bytes/s."""
    power_w: float | None = None
    domestic_cn: bool = False
    """Made by a company of the Chinese mainland."""
    dies: int = 1
    """Number of devices that software sees in one card; the figures here are those of the card."""
    source: str = ""
    source_date: str = ""
    """Date of the document, or the date on which a changing page was read."""
    notes: str = ""

    @property
    def device_memory_gib(self) -> float:
        """Memory of one device as software sees it; 0 when unknown."""
        return (self.memory_gib or 0.0) / self.dies

    def device_peak_tflops(self, precision: str) -> float | None:
        """Return dense peak of one device as software sees it, 10¹² operations/s."""
        peak = self.peak_tflops.get(precision)
        return None if peak is None else peak / self.dies
