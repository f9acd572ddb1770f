"""Which hardware is asked about: what there is, what is allowed, what was named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.quotes.quoting import snapshot

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.rows import Quota, node_row
from pearlstreet.quotes.candidates import Candidate, at_work, candidates, is_allowed, steps
from pearlstreet.quotes.model import Wanted


def sizes(found: tuple[Candidate, ...], model: str) -> list[tuple[int, int]]:
    return [(one.tasks, one.per_task) for one in found if one.model == model]


def test_parts_of_a_node_and_whole_nodes_that_there_are() -> None:
    found = candidates(snapshot("3x8xH100-80G"), Wanted())
    assert sizes(found, "h100-sxm-80g") == [(1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (3, 8)]
    assert all(one.owned and one.cpus_a_card == 16 and one.memory_gib_a_card == 128 for one in found)


def test_steps_end_at_the_whole() -> None:
    assert steps(1) == [1]
    assert steps(13) == [1, 2, 3, 4, 6, 8, 12, 13]


def test_what_is_ill_or_drained_is_not_offered() -> None:
    whole = snapshot("2x8xH100-80G")
    healthy = whole.nodes.device_healthy.copy()
    healthy[0, 0] = False
    ill = replace(whole, nodes=replace(whole.nodes, device_healthy=healthy))
    assert {(1, 7), (1, 8)} <= set(sizes(candidates(ill, Wanted()), "h100-sxm-80g"))
    assert max(one.count for one in candidates(ill, Wanted())) == 8, (
        "unequal nodes make no gang of equal tasks"
    )
    drained = replace(whole, nodes=replace(whole.nodes, schedulable=np.array([True, False])))
    assert max(one.count for one in candidates(drained, Wanted())) == 8


def test_nothing_is_known_before_the_planner_looked() -> None:
    assert candidates(None, Wanted()) == ()


def test_offers_are_narrowed_by_name_and_number() -> None:
    seen = snapshot()
    assert {one.model for one in candidates(seen, Wanted(("Ascend910B",)))} == {"ascend-910b1"}
    assert {one.model for one in candidates(seen, Wanted(("any",)))} == {"ascend-910b1", "h100-sxm-80g"}
    assert {one.count for one in candidates(seen, Wanted(("H100",), most=4))} == {1, 2, 4}
    assert sizes(candidates(seen, Wanted(("H100",), count=16)), "h100-sxm-80g") == [(2, 8)]
    assert sizes(candidates(seen, Wanted(("H100",), count=3)), "h100-sxm-80g") == [(1, 3)]
    assert candidates(seen, Wanted(count=12)) == ()


def test_what_the_center_or_nobody_has_is_named_with_what_is_near() -> None:
    with pytest.raises(InvalidInput) as wrong:
        candidates(snapshot(), Wanted(("H200", "Ascned910B")))
    first, second = wrong.value.problems
    assert (first.field, second.field) == ("wanted.accelerators[0]", "wanted.accelerators[1]")
    assert "h100-sxm-80g" in str(first.hint)
    assert "Ascned910B" in str(second.message)
    assert "ascend" in str(second.hint)


@pytest.mark.parametrize("written", ["H100", "0x8xH100-80G", "4xcpu", "2x8xZ9000", "100000x8xH100-80G"])
def test_hypothetical_hardware_that_makes_no_sense_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        candidates(None, Wanted(hypothetical=written))
    assert wrong.value.problems[0].field == "wanted.hypothetical"


def test_hypothetical_hardware_needs_no_center() -> None:
    (one,) = candidates(None, Wanted(hypothetical="128x8xB200"))
    assert (one.tasks, one.per_task, one.owned) == (128, 8, False)


def candidate(count: int) -> Candidate:
    return Candidate("h100-sxm-80g", 1, count, 8, True, 16, 128, 0.5)


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        (Quota("o", "cards", maximum=4), 4),
        (Quota("o", "cards", project="p", maximum=2), 2),
        (Quota("o", "cards:H100", maximum=1), 1),
        (Quota("o", "pflops", maximum=2), 4),
        (Quota("o", "cpus", maximum=32), 4),
        (Quota("o", "cards", guaranteed=2, borrow=False), 2),
        (Quota("o", "cards", guaranteed=2), 8),
        (Quota("o", "cards", project="q", maximum=1), 8),
        (Quota("other", "cards", maximum=1), 8),
        (Quota("o", "cards:A100", maximum=1), 8),
    ],
)
def test_quotas_bound_what_is_offered(quota: Quota, most: int) -> None:
    allowed = [
        count for count in (1, 2, 4, 8) if is_allowed([quota], "o", "p", candidate(count), 8.0 * count)
    ]
    assert max(allowed) == most


def test_no_candidate_spans_engines_and_each_names_those_that_can_run_it() -> None:
    reports = nodes_from("3x8xH100-80G")
    rows = [node_row(report, domain=name) for report, name in zip(reports, "abb", strict=True)]
    seen = build(now_us=1, nodes=rows)
    found = {(one.tasks, one.per_task): one.engines for one in candidates(seen, Wanted())}
    assert found[1, 8] == ("a", "b")
    assert found[2, 8] == ("b",), "only one engine has two nodes"
    assert (3, 8) not in found, "no gang spans engines"
    assert {one.engines for one in candidates(seen, Wanted(), ("a",))} == {("a",)}
    assert at_work(seen, "h100-sxm-80g", 8) == 2
    assert at_work(seen, "h100-sxm-80g", 8, ("a",)) == 1
