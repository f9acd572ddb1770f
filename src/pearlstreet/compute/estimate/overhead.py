"""Time of a run that is spent outside its steps: starting it, reading weights, writing the result.

Checkpoints and interruptions in the middle of a long run are not counted here: published whole runs contain them, and the
training factors were fitted to those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.model import WEIGHT_BYTES, Architecture, Hardware, Serving, Training

PROCESS_START_S = Band(8.0, 20.0, 60.0)
"""Seconds until every process has imported its framework and opened its devices. Our assumption; no published figure."""
ENGINE_START_S = Band(15.0, 40.0, 120.0)
"""Seconds in which a serving engine compiles kernels, captures graphs and reserves its cache. Our assumption."""
GROUPS_DEVICES = 2048
GROUPS_S = Band(5.0, math.sqrt(5.0 * 1047.0), 1047.0)
"""Seconds to set up communication groups on `GROUPS_DEVICES` devices: 1,047 with stock software, under 5 with all
improvements of Jiang et al., "MegaScale", NSDI 2024, section 3.5; the median is the geometric mean. It grows with the count."""
NODE_READ, NODE_WRITE = Band(40e9, 4e9, 1e9), Band(20e9, 2e9, 0.5e9)
"""Bytes/s of shared storage that one node reads and writes, best case first. "Best" and "good" of a single node in NVIDIA's
DGX SuperPOD H100 reference architecture, storage guidelines; the slow end is a quarter of "good": ordinary NFS."""
UNIT_NODES = 32
UNIT_READ, UNIT_WRITE = Band(125e9, 15e9, 4e9), Band(62e9, 7e9, 2e9)
"""Bytes/s of shared storage for `UNIT_NODES` nodes together; same source and same rule."""
CHECKPOINT_BYTES = 14.0
"""Bytes a parameter: bf16 weight 2, fp32 master copy 4, two fp32 Adam moments 8 (Rajbhandari et al., "ZeRO", SC 2020)."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds by the clock that a run takes outside its steps."""

    launch_s: Band
    """Processes, devices and communication groups."""
    load_s: Band
    """Weights read from shared storage; 0 where training starts from nothing."""
    save_s: Band
    """The last checkpoint written to shared storage; 0 where nothing is trained."""

    @property
    def total_s(self) -> Band:
        """Sum of the three parts; their deviations are independent."""
        return self.launch_s.plus(self.load_s).plus(self.save_s)


NO_OVERHEAD = Overhead(Band.exactly(0.0), Band.exactly(0.0), Band.exactly(0.0))


def training_overhead(run: Training) -> Overhead:
    """Return overhead of a training run; of LoRA only the base model is read and nothing large is written."""
    shape, trained = run.architecture, run.mode != "lora"
    weights = 0.0 if run.mode == "pretrain" else 2.0 * shape.params
    return Overhead(
        launch_s=_launch(run.hardware, PROCESS_START_S),
        load_s=_transfer(weights, run.hardware, NODE_READ, UNIT_READ),
        save_s=_transfer(
            CHECKPOINT_BYTES * shape.params if trained else 0.0, run.hardware, NODE_WRITE, UNIT_WRITE
        ),
    )


def serving_overhead(ask: Serving) -> Overhead:
    """Return overhead until a model answers its first request."""
    return Overhead(
        launch_s=_launch(ask.hardware, PROCESS_START_S.plus(ENGINE_START_S)),
        load_s=_transfer(_weights(ask.architecture, ask.precision), ask.hardware, NODE_READ, UNIT_READ),
        save_s=Band.exactly(0.0),
    )


def _weights(shape: Architecture, precision: str) -> float:
    return shape.params * WEIGHT_BYTES[precision]


def _launch(hardware: Hardware, process_start_s: Band) -> Band:
    if hardware.count == 1:
        return process_start_s
    return process_start_s.plus(GROUPS_S.times(hardware.count / GROUPS_DEVICES))


def _transfer(size: float, hardware: Hardware, node: Band, unit: Band) -> Band:
    """Return seconds in which all nodes together move `size` bytes, limited by their own links and by the storage."""
    nodes = max(1, math.ceil(hardware.count / hardware.domain))
    units = math.ceil(nodes / UNIT_NODES)
    rates = (min(nodes * one, units * all_) for one, all_ in zip(node.values, unit.values, strict=True))
    return Band(*(size / rate for rate in rates))
