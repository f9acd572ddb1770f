"""Peaks that no data sheet gives: inferred from relatives, said, and with a range that holds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.unit.estimate.questions import serving, training

from pearlstreet.compute.estimate import relatives
from pearlstreet.compute.estimate.band import Z80
from pearlstreet.compute.estimate.estimators import estimate_serving, estimate_training
from pearlstreet.compute.hardware.catalogue import Accelerator, Catalogue, catalogue


@pytest.mark.parametrize("basis", [name for name, _, _ in relatives.BASES if name != "bf16"])
def test_four_of_five_known_peaks_lie_in_the_range_inferred_without_them(
    basis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relatives, "BASES", tuple(item for item in relatives.BASES if item[0] == basis))
    book, inside, count = catalogue(), 0, 0
    for entry in book:
        known = entry.peak_tflops.get("bf16") or entry.peak_tflops.get("fp16")
        inferred = relatives.infer_peak(entry, "bf16", book)
        if known and inferred is not None:
            count += 1
            inside += abs(math.log(inferred.tflops / known)) <= Z80 * inferred.deviation
    assert count >= 80
    assert inside / count >= 0.78


def test_an_accelerator_without_a_peak_is_estimated_with_a_wide_range_and_says_so() -> None:
    known = estimate_training(training(accelerator="A100-80G"))
    inferred = estimate_training(training(accelerator="metax-c550"))
    assert "peak" in inferred.assumed and "peak" not in known.assumed
    assert inferred.per_unit_s.p90 / inferred.per_unit_s.p10 > 2 * known.per_unit_s.p90 / known.per_unit_s.p10
    assert 0.1 < inferred.per_unit_s.median / known.per_unit_s.median < 10
    assert "peak" in estimate_serving(serving(accelerator="bi-v150")).assumed


def test_every_accelerator_with_any_figure_is_estimated() -> None:
    for entry in catalogue():
        found = estimate_training(training("Llama 3.2 1B", entry.id, 8))
        assert found.per_unit_s.p10 > 0, entry.id


def test_a_card_of_which_nothing_is_known_has_no_inferred_peak() -> None:
    blank = Accelerator("blank", "blank", "Nobody", "Blank")
    assert relatives.infer_peak(blank, "bf16", Catalogue([blank])) is None
    assert relatives.infer_peak(blank, "bf16", catalogue()) is None


def test_a_card_unlike_all_others_has_a_wider_range() -> None:
    book = catalogue()
    usual = book.get("metax-c550")
    assert usual is not None
    far = relatives.infer_peak(replace(usual, id="far", bandwidth_gbs=2e7), "bf16", book)
    near = relatives.infer_peak(usual, "bf16", book)
    assert far is not None and near is not None
    assert far.deviation > 2 * near.deviation
