"""The judge's line protocol: answers in step with questions, and clear words for what cannot be right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.cli.referee import placed
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.registry import PLACEMENTS

NODES = [
    {"name": "big", "cpu_milli": 96_000, "memory_mib": 400_000, "gpu": 8, "model": "G2"},
    {"name": "small", "cpu_milli": 16_000, "memory_mib": 120_000, "gpu": 2, "model": "T4"},
    {"name": "plain", "cpu_milli": 32_000, "memory_mib": 120_000, "gpu": 0, "model": ""},
]


def pod(num: int, milli: int = 1000, spec: str = "", cpu: int = 4000) -> dict[str, Any]:
    return {
        "pod": f"p{num}-{milli}",
        "cpu_milli": cpu,
        "memory_mib": 8192,
        "num_gpu": num,
        "gpu_milli": milli,
        "gpu_spec": spec,
    }


def ask(
    *lines: Any, history: list[dict[str, Any]] | None = None, placement: str = "expected-fill"
) -> list[Any]:
    head = {"nodes": NODES, "history": history or []}
    sent = [json.dumps(line) if not isinstance(line, str) else line for line in (head, *lines)]
    return [json.loads(answer) for answer in placed(sent, PlannerConfig(placement=placement))]


@pytest.mark.parametrize("placement", sorted(PLACEMENTS))
def test_every_policy_answers_in_the_protocol(placement: str) -> None:
    history = [pod(1, 500) | {"count": 5}, pod(8) | {"count": 1}, pod(0) | {"count": 2}]
    eight, part, wrong, bare = ask(
        pod(8), pod(1, 500, "T4|G2"), pod(1, 1000, "A10"), pod(0), history=history, placement=placement
    )
    assert eight == {"node": "big", "gpus": list(range(8))}
    assert part["node"] == "small"
    assert len(part["gpus"]) == 1
    assert wrong == {"node": None, "gpus": []}
    assert bare["node"]
    assert bare["gpus"] == []


def test_it_leaves_whole_nodes_to_those_who_need_them() -> None:
    """One GPU fits both; in a workload of eights the large node is worth more whole."""
    (answer,) = ask(pod(1), history=[pod(1) | {"count": 10}, pod(8) | {"count": 10}])
    assert answer["node"] == "small"


def test_an_answer_comes_before_the_next_pod_is_read() -> None:
    read: list[int] = []

    def lines() -> Iterator[str]:
        yield json.dumps({"nodes": NODES, "history": []})
        for number in range(3):
            read.append(number)
            yield json.dumps(pod(1, 300))

    answers = placed(lines(), PlannerConfig())
    for number in range(3):
        next(answers)
        assert read == list(range(number + 1))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "Line 2 is not JSON"),
        ("[1]", "Line 2 is not a JSON object"),
        (pod(2, 500), "Line 2: 2 GPUs of 500 thousandths"),
        (pod(1) | {"cpu_milli": -1}, "Line 2: cpu_milli is a whole number"),
        (pod(1) | {"memory_mib": 1.5}, "Line 2: memory_mib is a whole number"),
        (pod(1) | {"num_gpu": True}, "Line 2: num_gpu is a whole number"),
    ],
)
def test_what_cannot_be_right_is_named_with_its_line(line: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ask(line)
    assert str(caught.value).startswith(says)
