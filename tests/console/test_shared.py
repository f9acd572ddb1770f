"""Pieces of pages that many visitors share."""

from __future__ import annotations

import threading

import pytest

from pearlstreet.console.shared import PIECES_MAX, shared
from pearlstreet.store.core import Store


def test_a_piece_is_made_once_and_again_when_it_is_old(sqlite_store: Store) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [shared(sqlite_store, "a", 60, make) for _ in range(3)] == [1, 1, 1]
    assert shared(sqlite_store, "b", 60, make) == 2, "another key is another piece"
    assert shared(sqlite_store, "c", 0, make) == 3
    assert shared(sqlite_store, "c", 0, make) == 4, "too old at once"


def test_others_get_the_old_piece_while_one_makes_the_new(sqlite_store: Store) -> None:
    begun, go, found = threading.Event(), threading.Event(), []
    assert shared(sqlite_store, "a", 0, lambda: "old") == "old"

    def slow() -> str:
        begun.set()
        assert go.wait(60)
        return "new"

    maker = threading.Thread(target=lambda: found.append(shared(sqlite_store, "a", 60, slow)))
    maker.start()
    assert begun.wait(60)
    assert shared(sqlite_store, "a", 60, lambda: "mine") == "old"
    go.set()
    maker.join(60)
    assert found == ["new"] and shared(sqlite_store, "a", 60, lambda: "mine") == "new"


def test_a_failure_is_nobody_elses(sqlite_store: Store) -> None:
    assert shared(sqlite_store, "a", 0, lambda: "old") == "old"

    def fails() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared(sqlite_store, "a", 60, fails)
    assert shared(sqlite_store, "a", 60, lambda: "good") == "good"


def test_pieces_do_not_pile_up(sqlite_store: Store) -> None:
    for number in range(PIECES_MAX + 10):
        shared(sqlite_store, number, 60, lambda: "x")
    assert shared(sqlite_store, 0, 60, lambda: "made again") == "made again"
    assert shared(sqlite_store, PIECES_MAX + 9, 60, lambda: "made again") == "x"
