"""Enumerates the layouts of a training run over its devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pearlstreet.compute.estimate.grid import FULL, NONE, SELECTIVE, Column, Grid
from pearlstreet.compute.estimate.model import Partial, Training

MICRO_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
CODES = {"none": NONE, "selective": SELECTIVE, "full": FULL}
LONG = 16_384
"""Tokens from which splitting a sequence over devices is tried."""
LORA_SHARE = 0.005
"""Share of the parameters that adapters of rank 16 have."""

Row = tuple[int, int, int, int, int, int, int, int, int, int, int]


def enumerate_layouts(run: Training) -> Grid:
    """Return all layouts that fill the devices and that the given part allows; unbounded by memory. May be empty."""
    rows = list(_rows(run))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 11).T
    return _grid(run, *columns)


def _rows(run: Training) -> Iterator[Row]:
    shape, given, count = run.architecture, run.layout, run.hardware.count
    batch = max(1, round(run.batch))
    for tensor in _tensor_sizes(run):
        for context in _context_sizes(run, tensor):
            for pipeline in _pipeline_sizes(run, count // (tensor * context)):
                replicas = count // (tensor * context * pipeline)
                # Without a given number of replicas the layout must use all devices; a given one may leave some unused.
                if given.data is not None:
                    replicas = min(given.data, max(replicas, 1)) or 1
                elif replicas * tensor * context * pipeline != count:
                    continue
                if replicas > batch and not _fixed(given):
                    continue
                share = max(1, batch // replicas)
                for expert in _expert_sizes(run, replicas * context):
                    for micro in _micro_sizes(given, share):
                        for virtual in _virtual_sizes(given, shape.layers, pipeline):
                            for zero in _zero_stages(run, replicas * context):
                                for recompute in _recomputes(given):
                                    yield (
                                        tensor, pipeline, replicas, context, expert, micro, max(1, round(share / micro)),
                                        virtual, zero, recompute, int(_sequence_parallel(given, run, tensor)),
                                    )  # fmt: skip


def _fixed(given: Partial) -> bool:
    return given.tensor is not None and given.pipeline is not None


def _powers(limit: int) -> list[int]:
    return [1 << n for n in range(limit.bit_length()) if 1 << n <= limit]


def _tensor_sizes(run: Training) -> list[int]:
    if run.layout.tensor is not None:
        return [run.layout.tensor]
    shape = run.architecture
    return [
        size
        for size in _powers(min(run.hardware.count, run.hardware.domain, 16))
        if run.hardware.count % size == 0 and (shape.heads % size == 0 or size == 1)
    ]


def _context_sizes(run: Training, tensor: int) -> list[int]:
    if run.layout.context is not None:
        return [run.layout.context]
    left = run.hardware.count // tensor
    crowded = run.batch * tensor < run.hardware.count
    most = run.sequence // (2048 if crowded else LONG // 2)
    return [size for size in _powers(max(1, min(left, most, 64))) if left % size == 0]


def _pipeline_sizes(run: Training, left: int) -> list[int]:
    if run.layout.pipeline is not None:
        return [run.layout.pipeline]
    layers = run.architecture.layers
    most = min(left, layers, 64)
    return [
        size
        for size in range(1, most + 1)
        if left % size == 0 and (layers % size == 0 or ((size & (size - 1)) == 0 and layers >= 4 * size))
    ]


def _expert_sizes(run: Training, ranks: int) -> list[int]:
    if run.layout.expert is not None:
        return [run.layout.expert]
    experts = run.architecture.experts
    if not experts:
        return [1]
    return [size for size in _powers(min(experts, ranks, 64)) if ranks % size == 0 and experts % size == 0]


def _micro_sizes(given: Partial, share: int) -> list[int]:
    if given.micro_batch is not None:
        return [given.micro_batch]
    return [size for size in MICRO_BATCHES if share % size == 0]


def _virtual_sizes(given: Partial, layers: int, pipeline: int) -> list[int]:
    if given.virtual_stages is not None:
        return [given.virtual_stages if pipeline > 1 else 1]
    if pipeline == 1:
        return [1]
    # Where stages are uneven anyway, chunks may be too.
    uneven = layers % pipeline != 0
    return [
        size for size in (1, 2, 4) if layers % (pipeline * size) == 0 or (uneven and layers > pipeline * size)
    ] or [1]


def _zero_stages(run: Training, ranks: int) -> list[int]:
    if run.layout.zero is not None:
        return [run.layout.zero]
    return [1, 3] if ranks > 1 else [0]


def _recomputes(given: Partial) -> list[int]:
    if given.recompute is not None:
        return [int(CODES[given.recompute])]
    return [int(NONE), int(SELECTIVE), int(FULL)]


def _sequence_parallel(given: Partial, run: Training, tensor: int) -> bool:
    if given.sequence_parallel is not None:
        return given.sequence_parallel and tensor > 1
    # Megatron-LM has it since 2022; runs in fp16 are mostly older.
    return tensor > 1 and run.precision != "fp16"


def _grid(
    run: Training,
    tensor: Column,
    pipeline: Column,
    data: Column,
    context: Column,
    expert: Column,
    micro_batch: Column,
    micro_batches: Column,
    virtual: Column,
    zero: Column,
    recompute: Column,
    sequence_parallel: Column,
) -> Grid:
    shape, device = run.architecture, run.hardware
    size = len(tensor)

    def all_rows(value: float) -> Column:
        return np.full(size, float(value))

    routed = 0.0
    if shape.experts:
        routed = (shape.params - shape.active) / max(1e-6, 1.0 - shape.experts_per_token / shape.experts)
    width = float(shape.hidden)
    if shape.experts and routed > 0:
        width = max(64.0, routed / (3.0 * shape.layers * shape.experts * shape.hidden))
    return Grid(
        layers=all_rows(shape.layers),
        hidden=all_rows(shape.hidden),
        heads=all_rows(shape.heads),
        kv_heads=all_rows(shape.kv_heads),
        vocabulary=all_rows(shape.vocabulary),
        params=all_rows(shape.params),
        active=all_rows(shape.active),
        experts_per_token=all_rows(shape.experts_per_token),
        expert_params=all_rows(min(routed, shape.params)),
        expert_width=all_rows(width),
        modern=all_rows(0.0 if run.precision == "fp16" and shape.family != "encoder" else 1.0),
        sequence=all_rows(run.sequence),
        causal=all_rows(0.0 if shape.family in ("encoder", "vision") else 1.0),
        trained=all_rows(LORA_SHARE if run.mode == "lora" else 1.0),
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        context=context,
        expert=expert,
        micro_batch=micro_batch,
        micro_batches=micro_batches,
        virtual_stages=virtual,
        zero=zero,
        recompute=recompute,
        sequence_parallel=sequence_parallel,
        peak=all_rows(device.peak * device.achievable),
        attention_peak=all_rows(device.attention_peak * device.attention_achievable),
        bandwidth=all_rows(device.bandwidth),
        link=all_rows(device.link),
        network=all_rows(device.network),
        domain=all_rows(device.domain),
        memory=all_rows(device.memory),
    )
