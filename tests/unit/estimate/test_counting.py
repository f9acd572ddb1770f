"""Operations and bytes against figures that papers print."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.estimate.questions import training

from pearlstreet.compute.estimate import flops
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.memory import activation_bytes, state_bytes
from pearlstreet.compute.estimate.model import Partial
from pearlstreet.compute.estimate.runs import predict
from pearlstreet.compute.estimate.serving import kv_bytes
from pearlstreet.compute.estimate.shapes import architecture, known


def test_gpt3_takes_its_published_operations() -> None:
    """Brown et al. 2020, table D.1: 3.14e23 for 300 billion tokens, attention not counted."""
    shape = architecture(family="dense-transformer", params=174.6e9, name="GPT-3 175B")
    weights = 3 * (flops.forward_flops_per_token(shape, 2048) - flops.attention_flops_per_token(shape, 2048))
    assert weights * 300e9 == pytest.approx(3.14e23, rel=0.01)


def test_attention_is_six_layers_width_length_when_causal() -> None:
    shape = architecture(family="dense-transformer", params=6.74e9, name="Llama 2 7B")
    assert 3 * flops.attention_flops_per_token(shape, 4096) == 6 * 32 * 4096 * 4096


def test_lora_saves_the_gradients_of_frozen_weights() -> None:
    whole = flops.training_flops_per_token(training(mode="full", sequence=128, batch_tokens=128 * 64.0))
    adapters = flops.training_flops_per_token(training(mode="lora", sequence=128, batch_tokens=128 * 64.0))
    assert adapters / whole == pytest.approx(2 / 3, rel=0.01)


def test_a_mixture_counts_what_a_token_meets() -> None:
    shape = architecture(family="moe", params=671e9, name="DeepSeek-V3")
    assert flops.forward_flops_per_token(shape, 1) == pytest.approx(2 * 37e9, rel=0.01)


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "recompute", "sequence_parallel", "gib"),
    [
        # Korthikanti et al. 2022, GPT 22B on eight devices, micro-batch 4, and 1T on 512.
        (48, 6144, 64, "none", False, 59.25),
        (48, 6144, 64, "selective", True, 9.5625),
    ],
)
def test_activations_are_those_of_the_paper(
    layers: int, hidden: int, heads: int, recompute: str, sequence_parallel: bool, gib: float
) -> None:
    row = (
        f"x,GPT,22,{layers},{hidden},{heads},2048,51200,4,a100-sxm-80g,8,8,1,1,none,"
        f"{recompute}{'+sequence-parallel' if sequence_parallel else ''},fp16,activations first stage"
    )
    head = (
        "id,model,params_total_b,layers,hidden,heads,seq_len,vocab,micro_batch,accelerator,accel_count,tp,pp,dp,"
        "sharding,activation_recompute,precision,component"
    )
    (found,) = predict(f"{head}\n{row}\n").predictions
    assert found.band.median == pytest.approx(gib, rel=0.002)


def test_states_take_18_bytes_and_zero_shards_them() -> None:
    def states(zero: int) -> float:
        run = training(layout=Partial(tensor=1, pipeline=1, data=8, micro_batch=1, zero=zero))
        grid = enumerate_layouts(run).take(np.array([0]))
        return float(state_bytes(grid)[0])

    whole = states(0)
    assert whole == pytest.approx(18 * 8.03e9, rel=0.01)
    assert states(1) == pytest.approx(whole * (6 + 12 / 8) / 18, rel=1e-6)
    assert states(3) == pytest.approx(whole / 8, rel=1e-6)


def test_full_recomputation_keeps_least() -> None:
    kept = [
        float(
            activation_bytes(
                enumerate_layouts(
                    training(layout=Partial(tensor=1, pipeline=1, micro_batch=1, zero=1), recompute=level)
                ),
            )[0]
        )
        for level in ("none", "selective", "full")
    ]
    assert kept[0] >= kept[1] > kept[2]


def test_keys_and_values_of_a_request() -> None:
    """Llama 3 8B: 2 · 32 layers · 8 heads · 128 · 2 bytes = 128 KiB a token; latent attention keeps 576 numbers a layer."""
    llama = architecture(family="dense-transformer", params=8.03e9, name="Llama 3.1 8B")
    assert kv_bytes(llama, 1024, "bf16") == 128 * 1024 * 1024
    deepseek = architecture(family="moe", params=671e9, name="DeepSeek-V3")
    assert kv_bytes(deepseek, 1, "bf16") == 61 * 576 * 2


def test_published_shapes_have_their_published_size() -> None:
    """12·layers·hidden² and the vocabulary lie near the stated parameters wherever that formula applies."""
    for shape in known().values():
        if shape.family == "moe" or shape.vocabulary == 0:
            continue
        body = 12.0 * shape.layers * shape.hidden**2 + shape.vocabulary * shape.hidden
        assert 0.45 < body / shape.params < 1.7, shape.name


def test_an_unknown_shape_is_inferred_and_said() -> None:
    shape = architecture(family="dense-transformer", params=7e9)
    assert {"layers", "hidden", "heads"} <= set(shape.inferred)
    assert 24 <= shape.layers <= 40
    assert 12 * shape.layers * shape.hidden**2 == pytest.approx(7e9, rel=0.15)
