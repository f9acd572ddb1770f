"""Result of a benchmark, in a form that can be stored and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: the median of `repeats` timed runs after warming up."""

    what: Literal["gemm", "memory"]
    precision: str
    """Precision of the matrix product (`fp32`, `bf16`, …); empty for memory."""
    value: float
    """TFLOPS (TOPS for int8) for `gemm`, 10⁹ bytes/s for `memory`."""
    size: int
    """Rows of the square matrices, or bytes of one array."""
    repeats: int
    spread: float
    """(slowest − fastest) / median of the timed runs."""
    method: str
    peak_share: float | None = None
    """Share of the dense peak (or bandwidth) in the catalogue; None where the catalogue has none."""

    @property
    def unit(self) -> str:
        """`TFLOPS`, `TOPS` or `GB/s`."""
        if self.what == "memory":
            return "GB/s"
        return "TOPS" if self.precision == "int8" else "TFLOPS"


@dataclass(frozen=True, slots=True)
class DeviceBench:
    """One device's figures, or the CPU's (`index` None)."""

    index: int | None
    uuid: str
    model: str
    measurements: tuple[Measurement, ...] = ()
    notices: tuple[str, ...] = ()
    """Messages about what could not be measured, and why."""
    untested: bool = False
    """Whether this way of measuring has never been checked on the real hardware."""

    @property
    def rates(self) -> dict[str, float]:
        """Precision → measured TFLOPS, as `normalised_rate` takes it."""
        return {m.precision: m.value for m in self.measurements if m.what == "gemm"}


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Result of one run of `pearl bench node`."""

    node: str
    at_us: int
    duration_s: float
    threads: int
    """CPU threads used for the CPU's figures."""
    devices: tuple[DeviceBench, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def cpu(self) -> DeviceBench | None:
        """The CPU's figures."""
        return next((device for device in self.devices if device.index is None), None)

    def device(self, uuid: str) -> DeviceBench | None:
        """Return the figures of the accelerator with that uuid."""
        return next((d for d in self.devices if d.index is not None and d.uuid == uuid), None)

    def to_json(self) -> str:
        """Return JSON text; `from_json` reads it back."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @staticmethod
    def from_json(content: str) -> BenchResult:
        """Return the result that `to_json` wrote. Raises ValueError for anything else."""
        try:
            value = json.loads(content)
            if value.pop("format") != FORMAT:
                raise ValueError("a benchmark result of another format")
            devices = tuple(_device(device) for device in value.pop("devices"))
            return BenchResult(devices=devices, **value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a benchmark result: {error}") from error


def _device(value: dict[str, Any]) -> DeviceBench:
    measurements = tuple(Measurement(**item) for item in value.pop("measurements"))
    return DeviceBench(measurements=measurements, notices=tuple(value.pop("notices")), **value)
