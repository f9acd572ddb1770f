"""Memory of the fullest device of a layout.

Formulas: Korthikanti et al. 2022 (arXiv 2205.05198) for activations, Rajbhandari et al. 2020 (arXiv 1910.02054) for what
ZeRO shards. Bytes a parameter under each way of sharding are calibrated and stand in constants.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.estimate.grid import FULL, SELECTIVE, Column, Grid

GIB = float(1 << 30)
WEIGHT_AND_GRADIENT = 6.0
"""bf16 weight and fp32 gradient."""
OPTIMIZER = 12.0
"""fp32 copy and the two moments of Adam."""

FINER_SELECTION = 18.0 / 34.0
"""Activations kept by selective recomputation in TorchTitan (Liang et al. 2024, arXiv 2410.06511), relative to Megatron's."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest device."""

    states: Column
    """Weights, gradients, optimizer."""
    activations: Column
    output: Column
    """Logits and their gradient, where they are larger than what earlier stages hold in flight."""
    reserve: Column
    """Context, communication buffers, fragmentation."""

    @property
    def total(self) -> Column:
        """Sum of all parts, in bytes."""
        return self.states + self.activations + self.output + self.reserve


def layer_params(grid: Grid, *, embeddings: bool = True) -> Column:
    """Return parameters on the fullest pipeline stage of one tensor-parallel rank."""
    table = grid.vocabulary * grid.hidden
    body = np.maximum(grid.params - table, grid.params * 0.05)
    experts = np.minimum(grid.expert_params, body)
    held = (body - experts) / (grid.tensor * grid.pipeline) + experts / (
        grid.tensor * grid.pipeline * np.maximum(grid.expert, 1.0)
    )
    return held + (table / grid.tensor if embeddings else 0.0)


def state_bytes(grid: Grid, *, embeddings: bool = True) -> Column:
    """Return weights, gradients and optimizer; sharded over the data-parallel ranks as the ZeRO stage says."""
    held = layer_params(grid, embeddings=embeddings)
    ranks = grid.data * grid.context
    weight, gradient = 2.0, WEIGHT_AND_GRADIENT - 2.0
    share = np.clip(grid.trained, 0.0, 1.0)
    return held * (
        np.where(grid.zero >= 3, weight / ranks, weight)
        + share * np.where(grid.zero >= 2, gradient / ranks, gradient)
        + share * np.where(grid.zero >= 1, OPTIMIZER / ranks, OPTIMIZER)
    )


def gathered_bytes(grid: Grid) -> Column:
    """Return the bytes that fully sharded ranks temporarily hold unsharded: two layers; with a pipeline, the stage with its gradients."""
    held = layer_params(grid)
    a_layer = 2.0 * held * grid.pipeline / grid.layers
    return np.where(grid.zero >= 3, np.where(grid.pipeline > 1, 6.0 * held, 2.0 * a_layer), 0.0)


def layer_activations(grid: Grid, recompute: Column) -> Column:
    """Return bytes that one layer keeps of one micro-batch for its backward pass."""
    unit = grid.tokens * grid.hidden
    whole = grid.sequence_parallel > 0
    scores = np.where(grid.modern > 0, 0.0, 5.0 * grid.heads * grid.sequence / grid.hidden)
    plain = np.where(whole, 34.0 / grid.tensor, 10.0 + 24.0 / grid.tensor)
    kept_input = np.where(whole, 2.0 / grid.tensor, 2.0)
    # Fully sharded recipes also recompute every other matrix product.
    selective = np.where(grid.zero >= 3, plain * FINER_SELECTION, plain)
    chosen = np.where(recompute == SELECTIVE, selective, plain + scores / grid.tensor)
    return unit * np.where(recompute == FULL, kept_input, chosen)


def activation_bytes(grid: Grid, *, working: bool = True) -> Column:
    """Return activations of the first stage: it has as many micro-batches in flight as there are stages."""
    in_flight = np.minimum(grid.micro_batches, grid.pipeline)
    interleaved = np.where(
        grid.virtual_stages > 1, 1.0 + (grid.pipeline - 1) / (grid.pipeline * grid.virtual_stages), 1.0
    )
    layers = np.ceil(grid.layers / grid.pipeline)
    held = layer_activations(grid, grid.recompute) * layers * in_flight * interleaved
    again = np.where(grid.recompute == FULL, layer_activations(grid, grid.recompute * 0.0), 0.0)
    return held + again if working else held


def memory(grid: Grid, k: Mapping[str, float]) -> Memory:
    """Return the bytes of every part on the fullest device. `k`: bytes of state per parameter, bytes per logit, and the reserve."""
    states = state_bytes(grid) * (k["state_bytes"] / (WEIGHT_AND_GRADIENT + OPTIMIZER)) + gathered_bytes(grid)
    first = activation_bytes(grid)
    logits = k["logit_bytes"] * grid.tokens * grid.vocabulary / grid.tensor
    # The last stage holds one micro-batch and the logits; the fuller of the two ends counts.
    last = first / np.minimum(grid.micro_batches, grid.pipeline)
    output = np.where(grid.pipeline > 1, np.maximum(last + logits - first, 0.0), logits)
    reserve = np.full(states.shape, k["reserve_gib"] * GIB)
    return Memory(states, first, output, reserve)
