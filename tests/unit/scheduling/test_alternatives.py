"""What a placement says of the nodes that it did not take."""

from __future__ import annotations

import json

import pytest

from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.explain import WHY_NOT
from pearlstreet.compute.scheduling.plan import Plan
from pearlstreet.compute.scheduling.registry import PLACEMENTS
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)

ONE, EIGHT = Request(("x",), 1, None, 1000), Request(("x",), 8, None, 120_000)
WORKLOAD = {EIGHT: 5, ONE: 5}
MODES = ("never", "always") if kernels.installed() else ("never",)


def node(name: str, cards: int = 8, cores: int = 128) -> NodeRow:
    return NodeRow(name, cores * 1000, 1000, tuple(DeviceRow(i, "x", 80) for i in range(cards)))


def answer(
    nodes: list[NodeRow],
    *,
    held: dict[str, int] | None = None,
    placement: str = "expected-fill",
    tasks: int = 1,
    explains: bool = True,
    jobs: int = 1,
) -> Plan:
    """Jobs of one card a task; `held`: cards in use by node."""
    running = [
        RunningAttempt(on, on, "o", "p", (TaskUse(on, 1000, 1, tuple(DeviceUse(i) for i in range(cards))),))
        for on, cards in (held or {}).items()
    ]
    waiting = [WaitingJob(f"j{i}", "o", "p", ONE, tasks=tasks) for i in range(jobs)]
    seen = build(now_us=10**12, nodes=nodes, running=running, waiting=waiting, workload=WORKLOAD)
    return plan(seen, PlannerConfig(placement=placement), explains=explains)


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_costs_more_is_told_with_what_it_costs_more(mode: kernels.Mode) -> None:
    """Only `wide` has the cores for eight cards at once; two narrow ones are alike."""
    nodes = [node("wide"), node("narrow", cores=64), node("alike", cores=64)]
    with kernels.using(mode):
        (placed,) = answer(nodes).placements
    assert placed.tasks[0].node in ("narrow", "alike")
    chosen = placed.chosen
    assert chosen is not None
    assert (chosen.policy, chosen.equal) == ("expected-fill", 1)
    (other,) = chosen.others
    assert (other.node, other.code) == ("wide", "loses_more")
    assert 0 < other.more < 8.5, "in cards: at most the place for eight, and the one that it takes"
    assert other.more == pytest.approx(other.score - chosen.score)


@pytest.mark.parametrize("mode", MODES)
def test_of_equal_losses_packing_decides_and_it_says_so(mode: kernels.Mode) -> None:
    """No node has the cores for eight at once: a card is worth as much on each, and the fuller one is taken."""
    nodes = [node(name, cores=64) for name in ("full", "half", "empty")]
    with kernels.using(mode):
        (placed,) = answer(nodes, held={"full": 6, "half": 3}).placements
    assert placed.tasks[0].node == "full"
    assert placed.chosen is not None
    assert [(one.node, one.code, one.more) for one in placed.chosen.others] == [
        ("half", "packs_worse", 0.0),
        ("empty", "packs_worse", 0.0),
    ]


@pytest.mark.parametrize("placement", sorted(PLACEMENTS))
def test_every_policy_tells_nodes_that_are_there_and_no_better(placement: str) -> None:
    nodes = [node(f"n{i}", cores=64 + 16 * i) for i in range(6)]
    held = {f"n{i}": i for i in range(1, 6)}
    for tasks, jobs in ((1, 1), (1, 3), (2, 1)):
        found = answer(nodes, held=held, placement=placement, tasks=tasks, jobs=jobs)
        told = [one.chosen for one in found.placements if one.chosen is not None]
        assert told or jobs > 1
        for placed in found.placements:
            if placed.chosen is None:
                continue
            scores = [placed.chosen.score, *(one.score for one in placed.chosen.others)]
            assert scores == sorted(scores)
            names = [one.node for one in placed.chosen.others]
            assert len(set(names)) == len(names) <= 3
            assert {*names} <= {one.name for one in nodes} - {placed.tasks[0].node}
            assert {one.code for one in placed.chosen.others} <= set(WHY_NOT)
            assert all(one.more >= 0 for one in placed.chosen.others)
            json.dumps(placed.chosen.to_json(), allow_nan=False)


def test_telling_changes_no_decision() -> None:
    nodes = [node(f"n{i}", cores=64 + 16 * i) for i in range(6)]
    for tasks, jobs in ((1, 5), (4, 2)):
        silent = answer(nodes, tasks=tasks, jobs=jobs, explains=False)
        assert silent == answer(nodes, tasks=tasks, jobs=jobs)
        assert all(one.chosen is None for one in silent.placements)


def test_several_nodes_chosen_together_have_no_others() -> None:
    (placed,) = answer([node("a"), node("b"), node("c")], tasks=12).placements
    assert placed.chosen is None
