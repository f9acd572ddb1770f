"""Laws that hold for every workload, device and layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.estimate.test_file import KINDS, table

from pearlstreet.compute.estimate import building
from pearlstreet.compute.estimate.constants import constants
from pearlstreet.compute.estimate.estimators import estimate_serving, estimate_training
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.memory import memory
from pearlstreet.compute.estimate.memory_points import DEFAULT
from pearlstreet.compute.estimate.model import Partial, Training
from pearlstreet.compute.estimate.runs import predict
from pearlstreet.compute.estimate.step import step_time
from pearlstreet.compute.hardware.catalogue import catalogue

DEVICES = ("A100-80G", "H100-80G", "B200", "Ascend910B3", "MI300X", "L40S", "MLU370-X8", "V100-32G")
SIZES = st.floats(min_value=1e8, max_value=1e12)


@st.composite
def questions(draw: st.DrawFn, count: int | None = None) -> Training:
    sequence = draw(st.sampled_from((512, 2048, 8192)))
    devices = count or 2 ** draw(st.integers(0, 7))
    return building.training(
        building.Model(params=draw(SIZES)),
        building.Machines(draw(st.sampled_from(DEVICES)), devices),
        catalogue(),
        precision=draw(st.sampled_from(("fp16", "bf16"))),
        mode=draw(st.sampled_from(("pretrain", "full", "lora"))),
        tokens=draw(st.floats(1e6, 1e13)),
        sequence=sequence,
        batch_tokens=float(sequence * devices * draw(st.sampled_from((1, 2, 8)))),
    )


@settings(max_examples=60, deadline=None)
@given(questions(), st.floats(1.01, 100.0))
def test_more_tokens_take_longer_and_more_energy(run: Training, more: float) -> None:
    assert run.tokens is not None
    less, longer = estimate_training(run), estimate_training(replace(run, tokens=run.tokens * more))
    assert less.device_s is not None
    assert longer.device_s is not None
    assert less.energy_kwh is not None
    assert longer.energy_kwh is not None
    assert longer.device_s.median > less.device_s.median
    assert longer.energy_kwh.median > less.energy_kwh.median


@settings(max_examples=60, deadline=None)
@given(questions())
def test_ranges_are_ordered_finite_and_positive(run: Training) -> None:
    found = estimate_training(run)
    assert 0 < found.per_unit_s.p10 <= found.per_unit_s.median <= found.per_unit_s.p90 < np.inf
    assert 0 < found.utilisation < 1.2


@settings(max_examples=40, deadline=None)
@given(questions(count=8))
def test_physics_never_exceeds_the_rated_peak(run: Training) -> None:
    grid = enumerate_layouts(run)
    seconds = step_time(grid, constants().physics).total
    least = 4.0 * run.architecture.active * run.batch * run.sequence / (8 * run.hardware.peak)
    assert (seconds > 0.9 * least).all()


@settings(max_examples=40, deadline=None)
@given(questions(count=1), st.sampled_from((2, 4, 8)))
def test_data_parallel_devices_never_do_more_each_than_one_alone(run: Training, ranks: int) -> None:
    """The same work for each device: sharing gradients can only add to it."""
    alone = replace(run, layout=Partial(1, 1, 1, 1, 1, 1, 1, 0, "none"), batch=4.0)
    many = replace(
        alone,
        hardware=replace(run.hardware, count=ranks),
        layout=replace(alone.layout, data=ranks),
        batch=4.0 * ranks,
    )
    k = constants().physics
    one, all_of_them = (step_time(enumerate_layouts(ask), k).total[0] for ask in (alone, many))
    assert all_of_them >= one * 0.999


@settings(max_examples=60, deadline=None)
@given(questions(count=8))
def test_sharding_never_needs_more_memory(run: Training) -> None:
    """Each ZeRO stage needs no more than the one before, but for what stage 3 gathers; recomputing needs no more."""

    def states(zero: int) -> float:
        ask = replace(run, layout=Partial(1, 1, 8, 1, 1, 1, 1, zero, "full"))
        return float(memory(enumerate_layouts(ask), DEFAULT).states[0])

    found = [states(zero) for zero in (0, 1, 2)]
    assert found == sorted(found, reverse=True)
    if run.architecture.layers >= 12:
        assert states(3) <= found[2] * 1.001


@settings(max_examples=40, deadline=None)
@given(questions(count=64), st.sampled_from((2, 4, 8)))
def test_tensor_and_pipeline_parallelism_divide_the_states(run: Training, ways: int) -> None:
    def states(tensor: int, pipeline: int) -> float:
        ask = replace(run, layout=Partial(tensor, pipeline, 1, 1, 1, 1, 1, 0, "full"))
        return float(memory(enumerate_layouts(ask), DEFAULT).states[0])

    assert states(ways, 1) <= states(1, 1) / ways * 1.001
    assert states(1, ways) < states(1, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DEVICES),
    st.floats(1e8, 1e11),
    st.integers(1, 32_000),
    st.integers(1, 8_000),
    st.integers(1, 500),
)
def test_serving_is_finite_and_a_longer_answer_is_never_done_sooner(
    device: str, params: float, read: int, written: int, at_once: int
) -> None:
    def ask(tokens: int) -> float:
        found = estimate_serving(
            building.serving(
                building.Model(params=params),
                building.Machines(device, 8),
                catalogue(),
                input_tokens=read,
                output_tokens=tokens,
                concurrency=at_once,
                tensor=8,
            )
        )
        assert 0 < found.output_tokens_per_s.median < np.inf
        assert 0 < found.tpot_s.median < np.inf
        return found.requests_per_s.median

    assert ask(written + 100) <= ask(written) * 1.001


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_reading_a_file_fail_in_another_way(content: bytes) -> None:
    header = b"training_mode,accelerator,params_total_b,layers,hidden,tp\n"
    for whole in (content, header + content):
        try:
            predict(whole)
        except Exception as error:
            assert type(error).__name__ == "InvalidInput", repr(error)


ODD: dict[str, tuple[str, ...]] = {
    "accel_count": ("1", "97", "100000"),
    "tp": ("", "3", "64"),
    "pp": ("", "7"),
    "dp": ("", "5"),
    "seq_len": ("", "1", "1000000"),
    "global_batch_tokens": ("", "1", "1e11"),
    "layers": ("", "1", "1000"),
    "hidden": ("", "1", "100000"),
    "precision": ("fp32", "int8", "mxfp4", ""),
    "parallelism_other": ("CP=0", "CP=64; VP=9; EP=7", "FSDP", "micro_batch=0", "ZeRO-9"),
    "family": ("moe", "encoder", "vision", "other", ""),
    "accelerator": ("tpu-v5p", "l4", "ascend-310", "cpu", ""),
    "params_total_b": ("0.0001", "999999", ""),
    "micro_batch": ("1", "999"),
    "input_len": ("", "1", "1000000"),
    "output_len": ("", "1", "1000000"),
    "concurrency": ("1", "1000000", "5-10"),
    "sharding": ("FSDP", "ZeRO-3", "none"),
    "component": ("peak", "activations"),
    "interconnect": ("0x0Gb", "1x1Gb per node", "NVL72"),
}
"""Cells that a file may hold, however odd."""


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_mixture_of_cells_is_answered_in_order_or_named(kind: str, data: st.DataObject) -> None:
    row = dict(KINDS[kind])
    for field in data.draw(st.lists(st.sampled_from(sorted(set(row) & set(ODD))), max_size=5)):
        row[field] = data.draw(st.sampled_from(ODD[field]))
    answer = predict(table(row))
    assert answer.predictions or answer.wrong or answer.skipped
    for line in answer.predictions:
        assert 0 < line.band.p10 <= line.band.median <= line.band.p90 < np.inf, line
