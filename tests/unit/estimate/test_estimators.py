"""Estimates of training: ranges, layouts, energy, and what is said when there is no evidence."""

from __future__ import annotations

import pytest
from tests.unit.estimate.questions import training

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate import building
from pearlstreet.compute.estimate.estimators import estimate_training
from pearlstreet.compute.estimate.model import Partial
from pearlstreet.compute.hardware.catalogue import catalogue


def test_a_run_takes_tokens_times_device_time_and_its_nodes_energy() -> None:
    found = estimate_training(training(tokens=2e9, count=8))
    assert found.device_s is not None
    assert found.elapsed_s is not None
    assert found.energy_kwh is not None
    assert found.device_s.median == pytest.approx(found.per_unit_s.median * 2e9)
    assert found.elapsed_s.median == pytest.approx(found.device_s.median / 8)
    rated_kwh = found.device_s.median / 3600 * 0.4
    assert rated_kwh < found.energy_kwh.median < 1.3 * rated_kwh
    for band in (found.per_unit_s, found.device_s, found.elapsed_s, found.energy_kwh):
        assert 0 < band.p10 < band.median < band.p90


def test_a_known_run_lands_near_what_it_took() -> None:
    """Llama 2 7B took 184,320 hours of A100-80G for 2·10¹² tokens (its model card)."""
    found = estimate_training(training("Llama 2 7B", tokens=2e12, count=1024, batch_tokens=4194304.0))
    assert found.device_s is not None
    assert found.device_s.median / 3600 == pytest.approx(184_320, rel=0.3)


def test_the_best_layout_fits_and_none_that_fits_is_faster() -> None:
    found = estimate_training(training("Llama 3.1 70B", "H100-80G", 64, batch_tokens=4096 * 256.0))
    fitting = [layout for layout in found.layouts if layout.fits]
    assert found.fits
    assert found.best is not None
    assert found.best.step_s == min(layout.step_s for layout in fitting)
    assert found.best.memory_gib <= 80
    for layout in found.layouts:
        assert layout.tensor * layout.pipeline * layout.data * layout.context == 64
        assert sum(layout.shares.values()) == pytest.approx(1.0, abs=0.05)


def test_a_fixed_layout_is_kept() -> None:
    found = estimate_training(
        training("Llama 3.1 70B", "H100-80G", 64, layout=Partial(tensor=8, pipeline=4), recompute="full")
    )
    assert {(layout.tensor, layout.pipeline, layout.data) for layout in found.layouts} == {(8, 4, 2)}
    assert {layout.recompute for layout in found.layouts} == {"full"}


def test_what_fits_nowhere_is_said() -> None:
    found = estimate_training(training("Llama 3.1 405B", "A100-80G", 8))
    assert not found.fits
    assert found.best is not None
    assert not found.best.fits


def test_a_batch_smaller_than_any_layout_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No layout"):
        estimate_training(training("Llama 3.1 8B", count=1000, sequence=512, batch_tokens=512.0))


def test_outside_the_evidence_is_said_and_widens_the_range() -> None:
    known = estimate_training(training(accelerator="A100-80G"))
    unknown = estimate_training(training(accelerator="Ascend950DT"))
    assert not known.outside
    assert any("950" in str(reason) for reason in unknown.outside)
    assert unknown.per_unit_s.p90 / unknown.per_unit_s.p10 > 1.3 * known.per_unit_s.p90 / known.per_unit_s.p10


def test_inferred_shapes_are_said_and_widen_the_range() -> None:
    known = estimate_training(training("Llama 2 7B"))
    run = building.training(
        building.Model(params=6.74e9),
        building.Machines("A100-80G", 8),
        catalogue(),
        tokens=1e9,
        sequence=4096,
        batch_tokens=4096 * 64,
    )
    guessed = estimate_training(run)
    assert {"layers", "hidden"} <= set(guessed.assumed)
    assert guessed.per_unit_s.median == pytest.approx(known.per_unit_s.median, rel=0.15)
    assert guessed.per_unit_s.p90 / guessed.per_unit_s.p10 > known.per_unit_s.p90 / known.per_unit_s.p10


def test_a_mixture_is_cheaper_than_a_dense_model_of_its_size() -> None:
    def seconds(active: float | None) -> float:
        run = building.training(
            building.Model(
                params=100e9, active=active, layers=48, hidden=6144, heads=48, family="moe" if active else ""
            ),
            building.Machines("H100-80G", 256),
            catalogue(),
            tokens=1e9,
            sequence=4096,
            batch_tokens=4096 * 1024,
        )
        return estimate_training(run).per_unit_s.median

    assert seconds(10e9) < seconds(None)


def test_images_are_counted_by_samples() -> None:
    run = building.training(
        building.Model(params=25.6e6, family="vision", forward_flops=8.2e9),
        building.Machines("A100-80G", 8),
        catalogue(),
        precision="fp16",
        samples=1.28e6,
        epochs=90,
    )
    found = estimate_training(run)
    assert found.unit == "sample"
    assert found.device_s is not None
    assert found.device_s.median == pytest.approx(found.per_unit_s.median * 1.28e6 * 90)
    assert found.flops_per_unit == 3 * 8.2e9


@pytest.mark.parametrize(
    ("model", "machines", "more", "field"),
    [
        (building.Model("Llama 3.1 8B"), building.Machines("H1000"), {}, "accelerator"),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G", 0), {}, "count"),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G", 10**9), {}, "count"),
        (building.Model("Llama 9000"), building.Machines("H100-80G"), {}, "name"),
        (building.Model(), building.Machines("H100-80G"), {}, "params"),
        (building.Model(params=-1.0), building.Machines("H100-80G"), {}, "params"),
        (building.Model(params=float("nan")), building.Machines("H100-80G"), {}, "params"),
        (building.Model(params=1e9, active=2e9), building.Machines("H100-80G"), {}, "active"),
        (building.Model(params=1e9, family="magic"), building.Machines("H100-80G"), {}, "family"),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G"), {"precision": "fp7"}, "precision"),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G"), {"mode": "osmosis"}, "mode"),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G"), {"tokens": -1.0}, "tokens"),
        (
            building.Model("Llama 3.1 8B"),
            building.Machines("H100-80G"),
            {"tokens": 1.0, "samples": 1.0},
            "samples",
        ),
        (building.Model("Llama 3.1 8B"), building.Machines("H100-80G"), {"recompute": "some"}, "recompute"),
        (
            building.Model("Llama 3.1 8B"),
            building.Machines("H100-80G"),
            {"sequence": 4096, "batch_tokens": 100.0},
            "batch_tokens",
        ),
        (
            building.Model("Llama 3.1 8B"),
            building.Machines("H100-80G", 4),
            {"layout": Partial(tensor=8)},
            "tensor",
        ),
    ],
)
def test_what_cannot_be_right_is_named(
    model: building.Model, machines: building.Machines, more: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        building.training(model, machines, catalogue(), **more)  # type: ignore[arg-type]
    assert field in [problem.field for problem in raised.value.problems]


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as raised:
        building.training(building.Model("Nobody"), building.Machines("H1000", -1), catalogue(), tokens=-5.0)
    assert {problem.field for problem in raised.value.problems} >= {"name", "count", "tokens", "accelerator"}
