"""Many layouts side by side: one array a column, so that a thousand layouts cost as much as one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
NONE, SELECTIVE, FULL = 0.0, 1.0, 2.0
"""Codes of recomputation in the backward pass: none, selective, full."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns of equal length (or length one): model, step, layout and device of each candidate."""

    # The model.
    layers: Column
    hidden: Column
    heads: Column
    kv_heads: Column
    vocabulary: Column
    params: Column
    """Number of all parameters."""
    active: Column
    """Parameters that a token meets."""
    experts_per_token: Column
    """Experts used for each token; 0 for a dense model."""
    expert_params: Column
    """Parameters of routed experts, which `params` contains."""
    expert_width: Column
    """Width of the inner layer of one expert; the hidden size for a dense model."""
    modern: Column
    """1 for software with fused kernels, which never write attention scores to memory; 0 for older software."""
    # The step.
    sequence: Column
    causal: Column
    """1 where a token attends to earlier tokens only."""
    trained: Column
    """Share of the parameters that has gradients and optimizer states; small for LoRA."""
    # The layout.
    tensor: Column
    pipeline: Column
    data: Column
    context: Column
    expert: Column
    micro_batch: Column
    micro_batches: Column
    """Number of micro-batches of one pipeline in one step."""
    virtual_stages: Column
    zero: Column
    recompute: Column
    sequence_parallel: Column
    # The device.
    peak: Column
    """Operations/s of the precision."""
    attention_peak: Column
    """Operations/s of the precision that attention is computed in."""
    bandwidth: Column
    """Memory bandwidth in bytes/s."""
    link: Column
    """Bandwidth to neighbours in the link domain, one direction, in bytes/s."""
    network: Column
    """A device's share of the bandwidth between link domains, one direction, in bytes/s."""
    domain: Column
    """Devices that share the fastest links."""
    memory: Column
    """Bytes."""

    def __len__(self) -> int:
        return max(len(getattr(self, field.name)) for field in fields(self))

    @property
    def devices(self) -> Column:
        """Devices that each layout takes."""
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def tokens(self) -> Column:
        """Tokens of one micro-batch on one device."""
        return self.sequence * self.micro_batch / self.context

    @property
    def step_tokens(self) -> Column:
        """Tokens of one step on all devices."""
        return self.sequence * self.micro_batch * self.micro_batches * self.data

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return the chosen rows."""
        size = len(self)
        columns = {
            field.name: np.broadcast_to(getattr(self, field.name), (size,))[chosen] for field in fields(self)
        }
        return replace(self, **columns)

    @classmethod
    def join(cls, parts: list[Grid]) -> Grid:
        """Return all rows, one part after the other."""
        return Grid(
            **{
                field.name: np.concatenate(
                    [np.broadcast_to(getattr(part, field.name), (len(part),)) for part in parts]
                )
                for field in fields(cls)
            }
        )
