"""Ranges of names: what they stand for, how names are written shortly, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.clusters.host_ranges import compress, expand


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("head", ["head"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[01-02,7]x", ["n01x", "n02x", "n7x"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("/dev/nvidia[0-1]", ["/dev/nvidia0", "/dev/nvidia1"]),
    ],
)
def test_a_range_stands_for_its_names(written: str, names: list[str]) -> None:
    assert list(expand(written)) == names


@pytest.mark.parametrize("written", ["n[", "n]", "n[]", "n[a]", "n[3-1]", "n[1-]", "n[[1]]", "n[1-99999999]", "n[1-999]m[1-999]"])  # fmt: skip
def test_what_is_no_range_or_too_many_names_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput):
        expand(written)


@given(st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{0,4}", fullmatch=True), max_size=30))
def test_names_written_shortly_stand_for_the_same_names_in_the_same_order(names: list[str]) -> None:
    assert [name for part in _split(compress(names)) for name in expand(part)] == names


def _split(written: str) -> list[str]:
    """Split a host list at commas outside of brackets."""
    parts, depth = [""], 0
    for letter in written:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


def test_a_thousand_nodes_are_one_range() -> None:
    assert compress(f"n{number:04d}" for number in range(1, 1001)) == "n[0001-1000]"
