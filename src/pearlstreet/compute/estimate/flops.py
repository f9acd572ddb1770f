"""Operations of a model as the literature counts them: what the mathematics needs, recomputation not counted.

Dense and encoder: 2·N a token forward for all weights, 4·s·h a token and layer for attention (half of that when causal),
twice as much backward (Kaplan et al. 2020, arXiv 2001.08361; Narayanan et al. 2021; PaLM's MFU, arXiv 2204.02311 app. B).
Mixture of experts: the parameters that a token meets. LoRA: no gradient of frozen weights, so forward twice instead of
three times (Hu et al. 2021, arXiv 2106.09685). Images: three times the given forward operations of a sample.
"""

from __future__ import annotations

from pearlstreet.compute.estimate.model import Architecture, Training


def forward_flops_per_token(shape: Architecture, sequence: int) -> float:
    """Return the operations of one token's forward pass in a sequence of `sequence` tokens."""
    return 2.0 * shape.active + attention_flops_per_token(shape, sequence)


def attention_flops_per_token(shape: Architecture, sequence: int) -> float:
    """Return the operations of a token that are products of attention: scores and values."""
    causal = 0.5 if shape.family not in ("encoder", "vision") else 1.0
    return 4.0 * shape.layers * shape.heads * shape.head_size * sequence * causal


def training_flops_per_token(run: Training) -> float:
    """Return operations of one token's forward and backward pass."""
    shape = run.architecture
    attention = attention_flops_per_token(shape, run.sequence)
    weights = 2.0 if run.mode == "lora" else 3.0
    return weights * 2.0 * shape.active + 3.0 * attention
