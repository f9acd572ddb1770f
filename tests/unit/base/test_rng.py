"""Randomness replays from a seed, and is fair enough to be used as such."""

from __future__ import annotations

from pearlstreet.base.rng import SeededRng, SystemRng


def test_a_seed_replays() -> None:
    first, second = SeededRng(3), SeededRng(3)
    assert [first.uniform() for _ in range(5)] == [second.uniform() for _ in range(5)]
    assert first.token_bytes(16) == second.token_bytes(16)
    assert SeededRng(4).token_bytes(16) != SeededRng(5).token_bytes(16)


def test_the_systems_randomness_stays_in_range_and_does_not_repeat() -> None:
    rng = SystemRng()
    assert all(0 <= rng.uniform() < 1 for _ in range(1000))
    assert len({rng.token_bytes(16) for _ in range(1000)}) == 1000
