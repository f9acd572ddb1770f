"""Which outputs are kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.workload.spec.patterns import is_kept


@pytest.mark.parametrize(
    ("pattern", "path", "kept"),
    [
        ("metrics.json", "metrics.json", True),
        ("metrics.json", "a/metrics.json", False),
        ("*.json", "metrics.json", True),
        ("*.json", "a/metrics.json", False),
        ("**/*.json", "metrics.json", True),
        ("**/*.json", "a/b/metrics.json", True),
        ("model", "model/a/b.bin", True),
        ("model/", "model/a.bin", True),
        ("model/**", "model/a/b.bin", True),
        ("model/**", "models/a.bin", False),
        ("model/*", "model/a.bin", True),
        ("model/*.bin", "model/a/b.bin", False),
        ("./model/*.bin", "model/a.bin", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/b/c/y", False),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("**", "any/thing", True),
        ("*", "a/b", True),
        ("x[1]?.txt", "x[1]?.txt", True),
        ("x[1]?.txt", "x1a.txt", False),
        ("数据/*", "数据/图.png", True),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, path: str, kept: bool) -> None:
    assert is_kept((pattern,), path) is kept


def test_no_patterns_keep_everything() -> None:
    assert is_kept((), "a/b")
    assert is_kept(("x", "a/*"), "a/b")


def test_a_pattern_made_to_be_slow_is_not() -> None:
    start = time.perf_counter()
    for pattern in ("**/a/" * 80 + "b", "*a" * 200 + "b", "/".join(["*a*a*a*b"] * 50), "**/" * 150 + "x"):
        is_kept((pattern,), "/".join(["a" * 30] * 30))
        is_kept((pattern,), "a/" * 500 + "a")
    assert time.perf_counter() - start < 2


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5))
def test_a_path_matches_itself_and_what_stars_replace(parts: list[str]) -> None:
    path = "/".join(parts)
    assert is_kept((path,), path)
    assert is_kept(("/".join(["**", *parts[1:]]),), path)
    assert is_kept(("/".join("*" for _ in parts),), path)
    assert is_kept((parts[0],), path)
