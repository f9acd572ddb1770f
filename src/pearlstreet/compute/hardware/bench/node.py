"""Measuring a whole machine within a given time: one worker process a target, figures as they come."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pearlstreet.base.clock import Clock
from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.bench.result import BenchResult, DeviceBench, Measurement
from pearlstreet.compute.hardware.catalogue import Accelerator, catalogue
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.hardware.node import INDEX_STEP

DEFAULT_BUDGET_S = 20.0
_START_S = 5.0
"""Left of a target's time, but at most half of it, for starting Python, BLAS and a CUDA context."""
_MODULE = "pearlstreet.compute.hardware.bench.worker"
_THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the benchmark: `done` of `targets`, and the latest figure."""

    target: str
    done: int
    targets: int
    measurement: Measurement | None = None


@dataclass(slots=True)
class _Harvest:
    measurements: list[Measurement] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def measure_node(
    report: NodeReport,
    clock: Clock,
    *,
    budget_s: float = DEFAULT_BUDGET_S,
    progress: Callable[[Progress], None] = lambda step: None,
    worker: Sequence[str] = (sys.executable, "-m", _MODULE),
) -> BenchResult:
    """Measure the CPU and every healthy NVIDIA device of `report` (this machine), one after the other.

    Ends after about `budget_s`: each target gets an equal part and its process is ended when that is over.
    """
    begun, at_us = clock.monotonic_s(), clock.now_us()
    threads = max(1, int(report.cpus))
    cards = [device for device in report.devices if device.vendor == "NVIDIA" and device.healthy]
    share_s = budget_s / (1 + len(cards))
    found: list[DeviceBench] = []
    versions: dict[str, str] = {}
    for number, card in enumerate((None, *cards)):
        name = "cpu" if card is None else f"{card.model} {card.index}"
        step = Progress(name, number, 1 + len(cards))
        progress(step)
        harvest = _Harvest()
        command = [
            *worker,
            *_arguments(card, max(share_s / 2, share_s - _START_S), threads, report.memory_gib),
        ]
        for line in _lines(command, _environment(threads), clock, share_s, harvest):
            if _take(line, harvest):
                progress(replace(step, measurement=harvest.measurements[-1]))
        versions |= harvest.versions
        found.append(_bench(card, harvest, report))
    return BenchResult(
        report.name, at_us, round(clock.monotonic_s() - begun, 3), threads, tuple(found), versions
    )


def _arguments(card: DeviceReport | None, budget_s: float, threads: int, memory_gib: float) -> list[str]:
    if card is None:
        return ["cpu", f"{budget_s:.3f}", str(threads), str(int(memory_gib * GIB))]
    return ["cuda", f"{budget_s:.3f}", str(card.index % INDEX_STEP)]


def _environment(threads: int) -> dict[str, str]:
    """Return this process's variables, with BLAS bound to the CPUs it may use instead of all CPUs of the machine."""
    return {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _lines(
    command: Sequence[str], environment: dict[str, str], clock: Clock, limit_s: float, harvest: _Harvest
) -> Iterator[str]:
    """Yield lines of a worker as they come; ends it after `limit_s` and notes that, or a bad end, in `harvest`."""
    deadline = clock.monotonic_s() + limit_s
    worker = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True,
    )  # fmt: skip
    late = False
    pending = b""
    with worker, selectors.DefaultSelector() as ready:
        out = worker.stdout
        if out is None:
            return
        ready.register(out, selectors.EVENT_READ)
        while block := _block(ready, out, deadline - clock.monotonic_s()):
            pending += block
            *lines, pending = pending.split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        late = clock.monotonic_s() >= deadline
        if late or (worker.poll() is None and not _ended(worker, deadline - clock.monotonic_s())):
            _kill(worker)
        said = worker.stderr.read().decode(errors="replace").strip() if worker.stderr else ""
    if late:
        harvest.notices.append(f"stopped after {limit_s:.0f} s")
    elif worker.returncode:
        harvest.notices.append(f"the measuring process ended with {worker.returncode}: {said[-200:]}")


def _block(ready: selectors.BaseSelector, out: Any, left_s: float) -> bytes:
    """Return the next bytes, empty at the end of the stream or of the time."""
    if left_s <= 0 or not ready.select(left_s):
        return b""
    return os.read(out.fileno(), 65_536)


def _ended(worker: subprocess.Popen[bytes], left_s: float) -> bool:
    try:
        worker.wait(max(0.1, left_s))
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(worker: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _take(line: str, harvest: _Harvest) -> bool:
    """Put one line of a worker into `harvest`; whether it was a figure. A line that is no JSON becomes a notice."""
    try:
        value = json.loads(line)
        if "measurement" in value:
            harvest.measurements.append(Measurement(**value["measurement"]))
            return True
        harvest.versions |= value.get("versions", {})
        harvest.notices += [value["notice"]] if "notice" in value else []
    except (ValueError, TypeError):
        harvest.notices.append(f"unreadable: {line[:100]}")
    return False


def _bench(card: DeviceReport | None, harvest: _Harvest, report: NodeReport) -> DeviceBench:
    notices = tuple(harvest.notices)
    if card is None:
        return DeviceBench(None, "", report.facts.get("cpu", "cpu"), tuple(harvest.measurements), notices)
    entry = catalogue().get(card.model)
    shares = tuple(replace(m, peak_share=_share(m, entry)) for m in harvest.measurements)
    return DeviceBench(card.index, card.uuid, card.model, shares, notices, untested=True)


def _share(measurement: Measurement, entry: Accelerator | None) -> float | None:
    if entry is None:
        return None
    if measurement.what == "memory":
        peak = entry.bandwidth_gbs / entry.dies if entry.bandwidth_gbs else None
    else:
        peak = entry.device_peak_tflops(measurement.precision)
    return round(measurement.value / peak, 4) if peak else None
