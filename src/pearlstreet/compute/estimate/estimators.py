"""The questions: how long does this training run take and what does it need, how fast does this model serve?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate import effects, flops, serving_fitting
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.constants import Constants, constants
from pearlstreet.compute.estimate.grid import FULL, SELECTIVE, Grid
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.learning import NOTHING, Calibration
from pearlstreet.compute.estimate.memory import memory
from pearlstreet.compute.estimate.memory_points import DEFAULT
from pearlstreet.compute.estimate.model import Serving, Training
from pearlstreet.compute.estimate.overhead import Overhead, serving_overhead, training_overhead
from pearlstreet.compute.estimate.samples import sample_seconds
from pearlstreet.compute.estimate.serving import Served, serve
from pearlstreet.compute.estimate.step import StepTime, step_time

NODE_POWER = (1.02, 1.22, 1.26)
"""Power of a whole node at work over the rated power of its accelerators: P10, median, P90 (MLPerf Training v4.0 to v5.0
power logs: 1.20 to 1.26 in sustained training of language models, detectors and diffusion, 1.02 for recommendation)."""

OUTSIDE = 0.2
"""Deviation that each thing adds that no measured row is like: TPUs left out while fitting were off by twice that."""
INFERRED = 0.1
"""Standard deviation of the logarithm of time caused by inferring a network's shape from its parameter count."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout of a run over the devices, with its step time and memory."""

    tensor: int
    pipeline: int
    data: int
    context: int
    expert: int
    zero: int
    recompute: str
    micro_batch: int
    virtual_stages: int
    memory_gib: float
    fits: bool
    step_s: float
    """Estimated step time in seconds, multiplied by the learnt factor."""
    shares: dict[str, float]
    """Part of the step → its share of the time."""


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Estimate of a training run."""

    layouts: tuple[Layout, ...]
    """Possible layouts: those that fit first, the fastest first. Empty for models measured in samples, which have no layout."""
    per_unit_s: Band
    """Device-seconds a token, or a sample."""
    unit: str
    """`token` or `sample`."""
    device_s: Band | None
    """Device-seconds of the whole run; None when its length is unknown."""
    elapsed_s: Band | None
    energy_kwh: Band | None
    """Energy of the nodes, without cooling and power conversion (PUE)."""
    flops_per_unit: float
    """Operations of the model per token or sample, without recomputation."""
    utilisation: float
    """Model FLOPS utilisation (MFU): those operations relative to the rated peak."""
    fits: bool
    outside: tuple[Text, ...]
    """Properties that no measured run resembles; they widen the band."""
    assumed: tuple[str, ...]
    """Fields that were not given and were assumed."""
    overhead: Overhead
    """Time outside the steps: start-up, reading weights, the last checkpoint. Not part of the times above."""

    @property
    def best(self) -> Layout | None:
        """The fastest layout that fits."""
        return self.layouts[0] if self.layouts else None


def estimate_training(
    run: Training, *, known: Constants | None = None, learnt: Calibration = NOTHING
) -> TrainingEstimate:
    """Return layouts, time and energy. Raises InvalidInput when no layout uses all devices."""
    k = known or constants()
    found = effects.features(run, run.hardware.chip)
    factor, deviation = k.training.of(found, effects.feature_point(run))
    deviation = math.hypot(deviation, run.hardware.peak_deviation)
    factor, deviation = learnt.correct(run.hardware.accelerator, run.recipe, factor, deviation)
    outside = _outside(run, k, found)
    counted = run.architecture.forward_flops is None
    guessed = run.architecture.inferred if counted else ()
    deviation = math.hypot(deviation, _doubt(guessed), OUTSIDE * math.sqrt(len(outside)))
    layouts: tuple[Layout, ...] = ()
    fits = True
    if not counted and run.architecture.forward_flops is not None:
        unit, base = "sample", sample_seconds(run)
        per_unit = 3.0 * run.architecture.forward_flops
    else:
        unit = "token"
        grid = enumerate_layouts(run)
        if not len(grid):
            raise InvalidInput(
                text(
                    "No layout puts a batch of {batch} sequences on {count} accelerators",
                    batch=f"{run.batch:g}",
                    count=run.hardware.count,
                ),
                hint=text("A larger batch, fewer accelerators, or a longer sequence has one"),
            )
        seconds = step_time(grid, k.physics)
        needed = memory(grid, DEFAULT).total
        fitting = needed <= run.hardware.memory
        fits = bool(fitting.any())
        order = np.lexsort((seconds.total, np.where(fits, 0.0, needed), ~fitting))
        base = _per_token(grid, seconds, int(order[0]))
        layouts = tuple(
            _layout(grid, seconds, needed, int(at), bool(fitting[at]), math.exp(factor)) for at in order
        )
        per_unit = flops.training_flops_per_token(run)
    per_unit_s = Band.around(base * math.exp(factor), deviation)
    amount = _amount(run, unit)
    device_s = None if amount is None else per_unit_s.times(amount)
    return TrainingEstimate(
        layouts=layouts,
        per_unit_s=per_unit_s,
        unit=unit,
        device_s=device_s,
        elapsed_s=None if device_s is None else device_s.times(1.0 / run.hardware.count),
        energy_kwh=None if device_s is None else energy_kwh(device_s, run.hardware.power_w),
        flops_per_unit=per_unit,
        utilisation=per_unit / per_unit_s.median / run.hardware.peak,
        fits=fits,
        outside=outside,
        assumed=(*(run.assumed if counted else ()), *run.hardware.assumed, *guessed),
        overhead=training_overhead(run),
    )


def energy_kwh(device_s: Band, power_w: float) -> Band:
    """Return energy of the nodes from device time: rated power, times what nodes draw for each watt of it."""
    low, middle, high = (share * power_w / 3.6e6 for share in NODE_POWER)
    # Both ranges are spreads of logarithms; independent ones add by squares.
    median = device_s.median * middle
    down = math.hypot(math.log(device_s.median / device_s.p10), math.log(middle / low))
    up = math.hypot(math.log(device_s.p90 / device_s.median), math.log(high / middle))
    return Band(median * math.exp(-down), median, median * math.exp(up))


def _doubt(inferred: tuple[str, ...]) -> float:
    """Return the deviation that an inferred shape adds; only layers and width matter much."""
    return INFERRED if {"params", "layers", "hidden"} & set(inferred) else 0.0


def _per_token(grid: Grid, seconds: StepTime, at: int) -> float:
    devices, tokens = grid.devices, grid.step_tokens
    return float(seconds.total[at] * devices[at] / tokens[at])


def _amount(run: Training, unit: str) -> float | None:
    if unit == "sample":
        return run.samples
    if run.tokens is not None:
        return run.tokens
    return None if run.samples is None else run.samples * run.sequence


def _layout(grid: Grid, seconds: StepTime, needed: np.ndarray, at: int, fits: bool, factor: float) -> Layout:
    total = float(seconds.total[at])
    parts = {
        "compute": seconds.compute, "tensor": seconds.tensor, "pipeline": seconds.pipeline, "data": seconds.data,
        "optimizer": seconds.optimizer, "expert": seconds.expert,
    }  # fmt: skip
    recompute = {FULL: "full", SELECTIVE: "selective"}.get(float(grid.recompute[at]), "none")
    return Layout(
        tensor=int(grid.tensor[at]),
        pipeline=int(grid.pipeline[at]),
        data=int(grid.data[at]),
        context=int(grid.context[at]),
        expert=int(grid.expert[at]),
        zero=int(grid.zero[at]),
        recompute=recompute,
        micro_batch=int(grid.micro_batch[at]),
        virtual_stages=int(grid.virtual_stages[at]),
        memory_gib=float(needed[at]) / (1 << 30),
        fits=fits,
        step_s=total * factor,
        shares={name: float(column[at]) / total for name, column in parts.items()},
    )


def _outside(run: Training, k: Constants, found: dict[str, float]) -> tuple[Text, ...]:
    """Return the properties of the question that no measured row resembles."""
    unknown = k.training.unknown(found)
    said: list[Text] = []
    for name in unknown:
        kind, _, level = name.partition("=")
        if kind == "chip":
            said.append(text("No measured training run on {chip}", chip=level))
        elif kind == "family":
            said.append(text("No measured training run of the family {family}", family=level))
        elif kind == "precision":
            said.append(text("No measured training run in {precision}", precision=level))
    shape = run.architecture
    if shape.params > 1.1e12:
        said.append(text("No measured training run above {most} parameters", most="1.1T"))
    if run.hardware.count > 16_384:
        said.append(text("No measured training run on more than {most} accelerators", most=16_384))
    if run.sequence > 262_144:
        said.append(text("No measured training run with sequences above {most} tokens", most=262_144))
    return tuple(said)


@dataclass(frozen=True, slots=True)
class ServingEstimate:
    """Estimate of serving a model."""

    ways: tuple[Served, ...]
    output_tokens_per_s: Band
    total_tokens_per_s: Band
    requests_per_s: Band
    ttft_s: Band
    tpot_s: Band
    prefill_s: Band
    energy_wh_per_1k_tokens: Band
    outside: tuple[Text, ...]
    assumed: tuple[str, ...]
    overhead: Overhead
    """Time until the first request is answered: start-up and reading weights. Not part of the times above."""

    @property
    def best(self) -> Served:
        """The fitting way with the most tokens per second."""
        return self.ways[0]


def estimate_serving(
    ask: Serving,
    *,
    scenario: str = "",
    known: Constants | None = None,
    learnt: Calibration = NOTHING,
) -> ServingEstimate:
    """Return throughput, times and energy. Raises InvalidInput when the weights do not fit in any way of serving."""
    k = known or constants()
    found = serving_fitting.features(ask, scenario)
    factor, deviation = k.serving.of(found)
    deviation = math.hypot(deviation, ask.hardware.peak_deviation)
    factor, deviation = learnt.correct(ask.hardware.accelerator, "", -factor, deviation)
    factor = -factor
    ways = serve(ask, k.serving_physics)
    outside = [
        text("No measured serving on {chip}", chip=level)
        for name in k.serving.unknown(found)
        for kind, _, level in [name.partition("=")]
        if kind == "serving chip"
    ]
    best = ways[0]
    if not best.fits:
        outside.append(text("The model and its longest request do not fit into the memory of {count} accelerators",
                            count=best.tensor))  # fmt: skip
        deviation = math.hypot(deviation, 0.5)
    deviation = math.hypot(deviation, _doubt(ask.architecture.inferred))
    rate = Band.around(best.output_tokens_per_s * math.exp(factor), deviation)
    slower = math.exp(-factor)
    # Single times spread more than throughput, which averages over requests.
    wider = deviation * 1.5
    watts = ask.hardware.power_w * best.tensor * best.replicas * NODE_POWER[1]
    return ServingEstimate(
        ways=tuple(ways),
        output_tokens_per_s=rate,
        total_tokens_per_s=rate.times((ask.input_tokens + ask.output_tokens) / ask.output_tokens),
        requests_per_s=rate.times(1.0 / ask.output_tokens),
        ttft_s=Band.around(best.ttft_s * slower, wider),
        tpot_s=Band.around(best.tpot_s * slower, wider),
        prefill_s=Band.around(best.prefill_s * slower, wider),
        energy_wh_per_1k_tokens=_inverse(rate, watts * 1000.0 / 3600.0),
        outside=tuple(outside),
        assumed=(*ask.assumed, *ask.hardware.assumed, *ask.architecture.inferred),
        overhead=serving_overhead(ask),
    )


def _inverse(rate: Band, numerator: float) -> Band:
    return Band(numerator / rate.p90, numerator / rate.median, numerator / rate.p10)
