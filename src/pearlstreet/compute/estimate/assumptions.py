"""Assumptions of an estimate, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pearlstreet.base.text import Text, text

WORDS: Mapping[str, Text] = {
    "accel_count": text("the number of accelerators"),
    "bandwidth": text("the memory bandwidth of the accelerator"),
    "batch_tokens": text("the batch"),
    "global_batch_tokens": text("the batch"),
    "heads": text("the attention heads"),
    "hidden": text("the hidden size"),
    "input_len": text("the length of requests"),
    "kv_heads": text("the key-value heads"),
    "layers": text("the number of layers"),
    "link": text("the links inside a node"),
    "memory": text("the memory of the accelerator"),
    "network": text("the network between nodes"),
    "params": text("the parameter count"),
    "peak": text("the peak of the accelerator, inferred from its nearest relatives"),
    "power": text("the power of the accelerator"),
    "seq_len": text("the sequence length"),
    "sequence": text("the sequence length"),
    "vocabulary": text("the vocabulary"),
}
"""Field that was assumed → what people call it."""


def assumptions(fields: Sequence[str]) -> Text | None:
    """Return one sentence about all assumptions; None when nothing was assumed."""
    found = (WORDS.get(field) or Text(field) for field in fields)
    words = list(
        {word.template: word for word in found}.values()
    )  # two fields may have the same name for readers
    if not words:
        return None
    listed = reduce(lambda some, one: text("{some}, {one}", some=some, one=one), words)
    return text("Assumed, since nobody said: {fields}", fields=listed)
