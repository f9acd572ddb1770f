"""Dependencies in a circle are found, however long the circle is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.workload.spec.graph import check_no_cycle, find_cycle


def test_a_job_that_waits_for_itself_is_a_circle() -> None:
    assert find_cycle({"a": ["a"]}) == ("a", "a")


def test_the_circle_is_named_in_order() -> None:
    with pytest.raises(InvalidInput, match="a → b → c → a"):
        check_no_cycle({"a": ["x", "b"], "b": ["c"], "c": ["a"], "x": []})


def test_a_diamond_is_no_circle() -> None:
    check_no_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["ended long ago"]})


def test_a_chain_of_a_hundred_thousand_is_walked() -> None:
    chain = {f"j{i}": [f"j{i + 1}"] for i in range(100_000)}
    assert find_cycle(chain) is None
    cycle = find_cycle({**chain, "j100000": ["j0"]})
    assert cycle is not None
    assert len(cycle) == 100_002
    with pytest.raises(InvalidInput) as refused:
        check_no_cycle({**chain, "j100000": ["j0"]})
    assert len(str(refused.value)) < 200


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13))
def test_an_answer_is_a_real_circle_and_none_means_sortable(numbers: dict[int, list[int]]) -> None:
    graph = {str(node): [str(after) for after in rest] for node, rest in numbers.items()}
    cycle = find_cycle(graph)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in pairwise(cycle))
        return
    left = dict(graph)
    while left:
        free = [node for node, rest in left.items() if not any(after in left for after in rest)]
        assert free, "no circle was found, yet no job could go first"
        for node in free:
            del left[node]
