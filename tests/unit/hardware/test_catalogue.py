"""The packaged catalogue is believable and answers to the names that people and drivers use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.hardware.catalogue import Accelerator, catalogue, implausibilities, parse_cluster


def ids(wanted: str) -> set[str]:
    return {entry.id for entry in catalogue() if catalogue().matches(wanted, entry.id)}


def test_the_catalogue_is_as_wide_as_promised() -> None:
    entries = catalogue().entries
    assert len(entries) >= 100
    assert len({entry.vendor for entry in entries}) >= 12
    assert sum(entry.domestic_cn for entry in entries) >= 30
    assert sum(bool(entry.source and entry.source_date) for entry in entries) >= 0.9 * len(entries)


def test_every_row_is_plausible() -> None:
    assert implausibilities(catalogue()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bandwidth_gbs": 33_500.0}, "HBM3"),
        ({"bandwidth_gbs": 335.0}, "HBM3"),
        ({"memory_type": ""}, "memory type"),
        ({"peak_tflops": {"bf16": 989.4, "fp16": 989.4, "int8": 19_790.0}}, "int8"),
        ({"peak_tflops": {"bf16": 989.4, "fp8": 98.0}}, "fp8"),
        ({"source": "a datasheet", "source_date": ""}, "source date"),
        ({"power_w": 70_000.0}, "power"),
        ({"id": "H100 SXM"}, "lower-case"),
        ({"release": "last year"}, "release"),
    ],
)
def test_the_check_sees_a_slip(change: dict[str, object], word: str) -> None:
    good = catalogue().get("h100-sxm-80g")
    assert good is not None
    assert implausibilities([good]) == []
    assert word in " ".join(implausibilities([replace(good, **change)]))  # type: ignore[arg-type]


def test_a_name_that_means_two_rows_is_seen() -> None:
    rows = [
        Accelerator(id="a-1", family="a", vendor="V", name="A 1", aliases=("Aces",), release="2024-01"),
        Accelerator(id="a-2", family="a", vendor="V", name="A 2", aliases=("ACES",), release="2024-01"),
    ]
    assert implausibilities(rows) == ["a-2: the name 'aces' already means a-1"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80g"),
        ("NVIDIA H100 PCIe", "h100-pcie-80g"),
        ("H100", "h100-sxm-80g"),
        ("h100-80g", "h100-sxm-80g"),
        ("H100 80 GB", "h100-sxm-80g"),
        ("Tesla V100-SXM2-16GB", "v100-sxm-16g"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40g"),
        ("A100-40G", "a100-sxm-40g"),
        ("a100 pcie 80gb", "a100-pcie-80g"),
        ("rtx4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Ascend 910B", "ascend-910b1"),
        ("910B3", "ascend-910b3"),
        ("AMD Instinct MI300X OAM", "mi300x"),
        ("MLU370-X8", "mlu370-x8"),
        ("MetaX C500", "metax-c500"),
        ("Iluvatar BI-V150", "bi-v150"),
        ("P800 OAM", "kunlun-p800"),
    ],
)
def test_names_are_found_however_they_are_spelt(name: str, model: str) -> None:
    found = catalogue().find(name)
    assert found is not None
    assert found.id == model


def test_a_job_gets_every_variant_that_it_left_open() -> None:
    assert ids("H100") == {"h100-sxm-80g", "h100-pcie-80g", "h100-nvl-94g"}
    assert ids("H100-80G") == {"h100-sxm-80g", "h100-pcie-80g"}
    assert ids("h100-pcie-80g") == {"h100-pcie-80g"}
    assert ids("A100-SXM") == {"a100-sxm-80g", "a100-sxm-40g"}
    assert ids("Ascend910B") >= {"ascend-910b1", "ascend-910b4"}
    assert "ascend-910c" not in ids("910B")
    assert ids("any") == {entry.id for entry in catalogue()}
    assert ids("H1000") == set()


def test_a_device_outside_the_catalogue_matches_its_own_name_and_any() -> None:
    assert catalogue().matches("Frobnicator 9", "frobnicator-9")
    assert catalogue().matches("any", "frobnicator-9")
    assert not catalogue().matches("H100", "frobnicator-9")


def test_memory_tells_sisters_of_one_name_apart() -> None:
    for memory_gib, model in ((95.6, "h20-96g"), (140.4, "h20-141g")):
        found = catalogue().identify("NVIDIA H20", memory_gib)
        assert found is not None
        assert found.id == model


def test_a_misspelt_name_gets_near_ones() -> None:
    assert "h100-sxm-80g" in catalogue().suggest("H10O")
    assert catalogue().suggest("zzzzzz") == ()


@given(
    st.sampled_from([entry.id for entry in catalogue()]), st.sampled_from([str.upper, str.title, str.lower])
)
def test_every_id_finds_itself_in_any_case(model: str, change: object) -> None:
    found = catalogue().find(change(model).replace("-", " "))  # type: ignore[operator]
    assert found is not None
    assert found.id == model


@given(st.text(max_size=40))
def test_no_name_upsets_the_look_up(name: str) -> None:
    found = catalogue().find(name)
    assert found is None or catalogue().matches(name, found.id)
    catalogue().suggest(name)


def test_a_cluster_in_one_line() -> None:
    parts = parse_cluster("4x8xH100-80G, 2x8xAscend910B,8x4090, 3xcpu")
    assert [(p.nodes, p.devices_per_node, p.accelerator and p.accelerator.id) for p in parts] == [
        (4, 8, "h100-sxm-80g"),
        (2, 8, "ascend-910b1"),
        (1, 8, "rtx-4090"),
        (3, 0, None),
    ]


def test_a_die_of_a_double_card_has_half_of_everything() -> None:
    found = catalogue().find("MI250X")
    assert found is not None
    assert found.device_memory_gib == 64
    assert found.device_peak_tflops("bf16") == pytest.approx(191.5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("H100", "does not describe nodes"),
        ("4x8", "does not describe nodes"),
        ("0x8xH100", "zero"),
        ("4x0xH100", "zero"),
        ("4x8xH10O", "no accelerator called"),
        ("4x4096xH100", "the most is 1024"),
        ("100000x8xH100,100000x8xH100", "at most"),
        ("-1x8xH100", "does not describe nodes"),
        ("9" * 5000 + "x8xH100", "does not describe nodes"),
        ("²x8xH100", "does not describe nodes"),
    ],
)
def test_a_bad_cluster_is_refused_with_a_reason(spec: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_cluster(spec)
    assert words in str(refused.value.message)


def test_the_refusal_suggests_what_was_meant() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_cluster("4x8xH10O")
    assert refused.value.hint is not None
    assert "h100-sxm-80g" in str(refused.value.hint)
    assert "您是否" in refused.value.hint.render("zh-CN")


@given(st.text(max_size=60))
def test_no_cluster_text_gives_another_error(spec: str) -> None:
    try:
        parts = parse_cluster(spec)
    except InvalidInput:
        return
    assert all(part.nodes > 0 for part in parts)
