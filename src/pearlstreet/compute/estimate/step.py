"""Time of one training step from first principles: a roofline of compute and memory, alpha-beta links, the bubble.

Sources of the terms: FLOPs and the pipeline's bubble from Narayanan et al. 2021 (arXiv 2104.04473), what tensor
parallelism sends from Shoeybi et al. 2019 (arXiv 1909.08053), ring collectives from Thakur et al. 2005, ZeRO's traffic
from Rajbhandari et al. 2020 (arXiv 1910.02054). Every fitted constant stands in constants.toml with its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.estimate.grid import FULL, SELECTIVE, Column, Grid
from pearlstreet.compute.estimate.memory import layer_params

Physics = Mapping[str, float]
HALF = 2.0
"""Bytes of a 16-bit number: activations and gradients travel in this."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step on the slowest device."""

    total: Column
    compute: Column
    """Matrix products, memory-bound operations and their launches, without waiting for others."""
    tensor: Column
    pipeline: Column
    """Bubble and sends between stages."""
    data: Column
    """Time of gradient and parameter traffic that does not overlap with computation."""
    optimizer: Column
    expert: Column


def forward_flops(grid: Grid) -> tuple[Column, Column, Column]:
    """(linear and attention of one layer, output layer) for one micro-batch of one data-parallel replica, forward only.

    2 operations a parameter and token, and 4·s·h a token and layer for attention, half of that when it is causal.
    """
    output = 2.0 * grid.vocabulary * grid.hidden
    attention = 4.0 * grid.sequence * grid.hidden * np.where(grid.causal > 0, 0.5, 1.0)
    body = 2.0 * np.maximum(grid.active - grid.vocabulary * grid.hidden, grid.active * 0.05) / grid.layers
    return grid.tokens * body, grid.tokens * attention, grid.tokens * output


def step_time(grid: Grid, k: Physics) -> StepTime:
    """Return seconds of one step of each layout."""
    linear, attention, output = forward_flops(grid)
    again = np.where(grid.recompute == FULL, 1.0, np.where(grid.recompute == SELECTIVE, 0.05, 0.0))
    passes = 2.0 + np.clip(grid.trained, 0.0, 1.0) + again
    attention_passes = 3.0 + np.where(grid.recompute > 0, 1.0, 0.0)
    rate = grid.peak * _filled(grid, k)
    attention_rate = grid.attention_peak * k["attention_share"]
    layers = np.ceil(grid.layers / grid.pipeline)
    products = layers / grid.tensor * (linear * passes / rate + attention * attention_passes / attention_rate)
    scores = np.where(grid.modern > 0, 0.0, 5.0 * grid.heads * grid.sequence / grid.hidden)
    alone = np.where(
        grid.sequence_parallel > 0, 1.0 / grid.tensor, k["unshared"] + (1 - k["unshared"]) / grid.tensor
    )
    touched = (
        np.where(grid.modern > 0, k["fused_bytes"], k["touched_bytes"]) * alone
        + k["scores_touched"] * scores / grid.tensor
    )
    touching = layers * passes * touched * grid.tokens * grid.hidden / grid.bandwidth
    busy = products + touching
    tensor = _tensor(grid, k, layers, again)
    expert = _expert(grid, k, layers)
    # Kernels are started while earlier ones run: the slower of the two decides, softly. Collectives of tensor
    # parallelism stand in the same stream.
    reductions = np.where(grid.tensor > 1, 4.0 + 2.0 * np.where(again >= 1, 1.0, 0.0), 0.0)
    launch = np.where(grid.modern > 0, k["fused_launch_s"], k["launch_s"])
    launch = launch + np.where(grid.experts_per_token > 0, k["expert_launch_s"], 0.0)
    waits = layers * (passes * launch + reductions * k["collective_s"])
    sharpness = k["overlap_sharpness"]
    stage = ((busy + tensor + expert) ** sharpness + waits**sharpness) ** (1.0 / sharpness) + k[
        "micro_batch_s"
    ]
    head = output * 3.0 / grid.tensor / rate
    # Each rank of a tensor-parallel group sends its part; the receivers put it together over their own links.
    part = HALF * grid.tokens * grid.hidden / grid.tensor
    between = k["hop_s"] + part / _span(grid, grid.pipeline * grid.tensor, k)
    sends = np.where(grid.pipeline > 1, 2.0 * grid.virtual_stages * between, 0.0)
    fill = (grid.pipeline - 1) / grid.virtual_stages * (stage + sends)
    bubble = fill + grid.micro_batches * sends
    running = grid.micro_batches * (stage + head)
    data = _data(grid, k, running)
    kept = layer_params(grid) * grid.trained
    shared = np.where(grid.zero >= 1, grid.data, 1.0)
    optimizer = k["optimizer_bytes"] * kept / shared / grid.bandwidth + k["step_s"]
    return StepTime(
        total=running + bubble + data + optimizer,
        compute=grid.micro_batches * (np.maximum(stage - tensor - expert, 0.0) + head),
        tensor=grid.micro_batches * tensor,
        pipeline=bubble,
        data=data,
        optimizer=optimizer,
        expert=grid.micro_batches * expert,
    )


def _filled(grid: Grid, k: Physics) -> Column:
    """Share of the peak that matrix products of this size reach: small ones leave multiprocessors idle."""
    narrow = k["width_half"] / (np.minimum(grid.hidden, grid.expert_width) / grid.tensor)
    few = k["tokens_half"] / grid.tokens
    return k["product_share"] / (1.0 + narrow + few)


def _tensor(grid: Grid, k: Physics, layers: Column, again: Column) -> Column:
    """Return all-reduces of tensor parallelism, of one micro-batch: two a layer forward, two backward, two more recomputed."""
    size = HALF * grid.tokens * grid.hidden
    ring = (grid.tensor - 1) / grid.tensor
    # Newer software sends a piece while it computes the next one.
    seen = np.where(grid.modern > 0, k["tensor_exposed"], 1.0)
    once = (
        2.0 * seen * size * ring / _span(grid, grid.tensor, k) + 2.0 * (grid.tensor - 1) * k["link_alpha_s"]
    )
    return np.where(grid.tensor > 1, layers * (4.0 + 2.0 * np.where(again >= 1, 1.0, 0.0)) * once, 0.0)


def _expert(grid: Grid, k: Physics, layers: Column) -> Column:
    """All-to-all of experts: tokens to their experts and back, forward and backward. What leaves the domain is slower."""
    size = HALF * grid.tokens * grid.hidden * np.maximum(grid.experts_per_token, 1.0) / grid.tensor
    reach = grid.expert * grid.tensor
    share = (grid.expert - 1) / np.maximum(grid.expert, 1.0)
    outside = np.where(reach > grid.domain, 1.0 - grid.domain / reach, 0.0)
    # A token goes to another node once, however many of its experts are there.
    sent_out = (
        outside
        / np.maximum(grid.experts_per_token, 1.0)
        * np.minimum(np.maximum(grid.experts_per_token, 1.0), reach / grid.domain)
    )
    inside = size * (share - outside) / (grid.link * k["link_share"])
    across = size * sent_out / (grid.network * k["network_share"])
    routed = (grid.expert > 1) & (grid.experts_per_token > 0)
    return np.where(routed, layers * 4.0 * np.maximum(inside, across) * k["expert_exposed"], 0.0)


def _data(grid: Grid, k: Physics, running: Column) -> Column:
    """Return what stays visible of the gradients' reduction and, from ZeRO 3 on, of gathering parameters."""
    held = layer_params(grid)
    ring = (grid.data - 1) / grid.data
    rate = _ring(grid, k)
    reduced = 2.0 * HALF * held * np.minimum(grid.trained, 1.0) * ring / rate
    gathered = np.where(grid.zero >= 3, 3.0 * HALF * held * ring / rate * grid.micro_batches, 0.0)
    hops = 2.0 * np.log2(np.maximum(grid.data, 1.0)) * k["hop_s"]
    hidden = k["hidden_share"] * running
    seen = np.maximum(gathered - hidden, 0.0) + k["gradient_exposed"] * np.where(grid.zero >= 3, 0.0, reduced)
    return np.where(grid.data > 1, seen + hops, 0.0)


def _ring(grid: Grid, k: Physics) -> Column:
    """Return bytes/s of a ring over the data-parallel ranks.

    Each byte enters a node once, over the share of every rank there.
    """
    replica = grid.tensor * grid.context
    inside = np.clip(grid.domain / replica, 1.0, grid.data)
    within = grid.data * replica <= grid.domain
    across = np.minimum(grid.network * k["network_share"] * inside, grid.link * k["link_share"])
    return np.where(within, grid.link * k["link_share"], across)


def _span(grid: Grid, reach: Column, k: Physics) -> Column:
    """Return the bytes/s of a device in a communication group that spans this number of devices."""
    return np.where(reach <= grid.domain, grid.link * k["link_share"], grid.network * k["network_share"])
