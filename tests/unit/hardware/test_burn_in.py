"""Verdicts on burn-ins, and the script itself on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pearlstreet.compute.hardware.bench import burn_in_script
from pearlstreet.compute.hardware.burn_in import (
    BurnInResult,
    Measured,
    find_failures,
    hardware_group,
    read_result,
    result_from_json,
)
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport


def measured(*figures: float, name: str = "cpu_gb_per_s", group: str = "a") -> list[Measured]:
    return [
        Measured(f"{group}{number}", (group,), BurnInResult({name: figure}))
        for number, figure in enumerate(figures)
    ]


def slow(found: list[Measured]) -> set[str]:
    return set(find_failures(found))


def test_a_node_slower_than_equal_ones_is_found_with_the_figures() -> None:
    found = find_failures(measured(10.0, 10.1, 9.9, 10.0, 6.0))
    assert {node: str(words) for node, words in found.items()} == {
        "a4": "Slower than equal nodes in the burn-in: cpu_gb_per_s is 6, their median 10"
    }


@pytest.mark.parametrize(
    "figures",
    [
        (10.0, 9.0, 8.5, 10.0),
        (10.0, 5.0),
        (10.0, 7.0, 5.0, 3.0, 12.0),
        (10.0, 10.0, 10.0, 30.0),
    ],
    ids=["within 20 %", "too few to compare", "spread widely", "one is faster"],
)
def test_no_node_is_called_slow_without_a_clear_difference(figures: tuple[float, ...]) -> None:
    assert slow(measured(*figures)) == set()


def test_only_equal_nodes_are_compared() -> None:
    assert slow([*measured(10, 10, 10), *measured(5, 5, 5, group="b")]) == set()
    cards = tuple(DeviceReport(index, "NVIDIA", "h100-sxm-80g", 80.0) for index in range(2))
    whole = NodeReport("n1", 8, 64, 100, cards, facts={"cpu": "EPYC"})
    assert hardware_group(whole) == hardware_group(NodeReport("n2", 8, 63, 9, cards, facts={"cpu": "EPYC"}))
    assert hardware_group(whole) != hardware_group(NodeReport("n3", 8, 64, 100, cards[:1]))


def test_the_disk_is_shown_but_not_compared() -> None:
    assert slow(measured(1.0, 1.0, 1.0, 0.01, name="disk_write_gb_per_s")) == set()


def test_wrong_results_fail_a_node_whatever_others_have() -> None:
    wrong = Measured("n1", (), BurnInResult({}, errors=("device 0: the same product differs",)))
    assert str(find_failures([wrong])["n1"]) == "Burn-in failed: device 0: the same product differs"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"format": 2}', b'{"format": 1, "figures": {"x": -1}, "errors": [], "notices": []}'],
)
def test_anything_else_than_a_result_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_result(content)


def test_the_script_measures_this_machine_and_leaves_no_file(tmp_path: Path) -> None:
    script = Path(burn_in_script.__file__).read_text(encoding="utf-8")
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (tmp_path / "work").mkdir()
    variables = {"PEARL_OUTPUTS": str(outputs), "PEARL_BURN_IN_S": "0.2", "PATH": os.environ["PATH"]}
    subprocess.run(
        [sys.executable, "-c", script], env=variables, cwd=tmp_path / "work", check=True, timeout=60
    )
    result = read_result((outputs / "burn_in.json").read_bytes())
    assert {"cpu_gb_per_s", "memory_gb_per_s", "disk_write_gb_per_s", "disk_read_gb_per_s"} <= set(
        result.figures
    )
    assert min(result.figures.values()) > 0
    assert not result.errors
    assert list((tmp_path / "work").iterdir()) == []
    assert result_from_json(json.loads(json.dumps(result.to_json()))) == result
