"""Input of an estimate: a workload, the hardware, and the given part of the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal["dense-transformer", "moe", "encoder", "vision", "diffusion", "other"]
Mode = Literal["pretrain", "full", "lora", "inference"]
Recompute = Literal["none", "selective", "full"]
FAMILIES: tuple[Family, ...] = ("dense-transformer", "moe", "encoder", "vision", "diffusion", "other")
RECOMPUTES: tuple[Recompute, ...] = ("none", "selective", "full")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp8-mx", "int8", "fp4", "fp4-nv", "mxfp4", "fp16/int8")
PEAKS: Mapping[str, tuple[str, ...]] = {
    "fp32": ("fp32",),
    "tf32": ("tf32", "fp32"),
    "fp16": ("fp16", "bf16"),
    "bf16": ("bf16", "fp16"),
    "fp8": ("fp8", "int8", "bf16", "fp16"),
    "fp8-mx": ("fp8", "bf16", "fp16"),
    "int8": ("int8", "fp8", "bf16", "fp16"),
    "fp4": ("fp4", "fp8", "bf16", "fp16"),
    "fp4-nv": ("fp4", "fp8", "bf16", "fp16"),
    "mxfp4": ("fp4", "bf16", "fp16"),
    "fp16/int8": ("fp16", "bf16"),
}
"""Precision → whose peak counts, the first that the catalogue knows. Weights are unpacked where none fits."""
WEIGHT_BYTES: Mapping[str, float] = {
    "fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "fp8-mx": 1.03, "int8": 1.0,
    "fp4": 0.5625, "fp4-nv": 0.5625, "mxfp4": 0.53, "fp16/int8": 2.0,
}  # fmt: skip
"""Bytes of one weight with its block scales."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network's shape. What was not given is inferred; `inferred` names those fields."""

    family: Family
    params: float
    """Number of all parameters."""
    active: float
    """Parameters that one token meets; those of all experts together are more."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    vocabulary: int
    head_size: int
    experts: int = 0
    experts_per_token: int = 0
    latent_kv: int = 0
    """Numbers a token and layer that multi-head latent attention keeps; 0 where keys and values are kept."""
    window_share: float = 1.0
    """Share of the layers that keep all keys and values; the others look at a short window."""
    forward_flops: float | None = None
    """Operations of the forward pass of one sample, for models measured in samples instead of tokens."""
    name: str = ""
    inferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """Hardware of a run. Rates are those of one device."""

    accelerator: str
    """Catalogue id."""
    chip: str
    """The catalogue's family of it, such as `h100`."""
    count: int
    domain: int
    """Devices that share the fastest links: a node, or a rack where its links go that far."""
    peak: float
    """Rated operations/s of the workload's precision."""
    attention_peak: float
    """Rated operations/s of the precision that attention is computed in."""
    achievable: float
    """Share of the rated peak that large matrix products reach, relative to an A100's."""
    attention_achievable: float
    bandwidth: float
    """Memory bandwidth in bytes/s."""
    memory: float
    """Bytes."""
    link: float
    """Bandwidth within the link domain, one direction, in bytes/s."""
    network: float
    """A device's share of the bandwidth between link domains, one direction, in bytes/s."""
    power_w: float
    release: float
    """Year."""
    vendor: str
    assumed: tuple[str, ...] = ()
    """Facts that the catalogue lacks and that were assumed."""
    peak_deviation: float = 0.0
    """Standard deviation of the logarithm of the peak; above zero where it was inferred from relatives."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The given part of a layout; None leaves a field free."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    context: int | None = None
    expert: int | None = None
    micro_batch: int | None = None
    virtual_stages: int | None = None
    zero: int | None = None
    recompute: Recompute | None = None
    sequence_parallel: bool | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """A training run."""

    architecture: Architecture
    hardware: Hardware
    precision: str
    mode: Mode
    sequence: int
    batch: float
    """Sequences (or samples) of one step."""
    tokens: float | None = None
    samples: float | None = None
    layout: Partial = Partial()
    recipe: str = ""
    """Name under which calibrations are learnt, such as a job's image or script; empty: none."""
    purpose: str = "pretrain"
    """`benchmark`, `pretrain`, `pretrain-to-target`, `lora`, `sft`: a short measurement runs smoother than a real run."""
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """A model that answers requests."""

    architecture: Architecture
    hardware: Hardware
    precision: str
    input_tokens: int
    output_tokens: int
    concurrency: float | None
    """Requests at once; None: as many as fit."""
    tensor: int | None = None
    pipeline: int | None = None
    engine: str = ""
    requests_per_s: float | None = None
    assumed: tuple[str, ...] = ()
