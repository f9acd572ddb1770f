"""Names that people and files give to kinds of training."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pearlstreet.compute.estimate.model import Mode

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "pretrain": (
        "pretraining", "pre-train", "pre-training", "train", "training", "from-scratch", "scratch", "continued-pretrain",
        "continued-pretraining", "continual-pretraining", "cpt",
    ),
    "pretrain-to-target": ("time-to-target", "train-to-target", "time-to-train", "mlperf", "mlperf-training"),
    "benchmark": ("bench", "throughput", "perf", "performance", "microbenchmark"),
    "full": (
        "finetune", "fine-tune", "finetuning", "fine-tuning", "full-finetune", "full-fine-tune", "full-finetuning",
        "full-fine-tuning", "full-parameter", "full-ft", "ft", "fft",
    ),
    "sft": ("supervised-finetuning", "supervised-fine-tuning", "instruction-tuning", "instruct-tuning", "instruct"),
    "lora": (
        "peft", "adapter", "adapters", "low-rank", "low-rank-adaptation", "lora-finetuning", "lora-fine-tuning",
        "lora-finetune", "lora-fine-tune", "lora-sft", "dora", "rslora",
    ),
    "inference": ("infer", "serving", "generation", "forward"),
}  # fmt: skip
"""Purpose → other names for it in the field."""
PURPOSES = tuple(SYNONYMS)
MODE_OF: Mapping[str, Mode] = {"lora": "lora", "sft": "full", "full": "full"}
"""Purpose → which weights are trained; every other purpose trains all of them from the start."""
_PURPOSE_OF = {name: purpose for purpose, names in SYNONYMS.items() for name in (purpose, *names)}


def read_purpose(name: str) -> str | None:
    """Return the purpose that a name means, whatever its case and separators; None for an unknown name."""
    return _PURPOSE_OF.get(re.sub(r"[\s_-]+", "-", name.strip().lower()))
