"""Random streams of a seed. Each part of a world has its own, so that a further draw in one changes no other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from pearlstreet.base.rng import SeededRng

T = TypeVar("T")


class Chance:
    """Replayable random numbers of the stream `name` of a seed."""

    def __init__(self, seed: int, name: str) -> None:
        self.rng = stream(seed, name)

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
        return self.rng.uniform()

    def happens(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.rng.uniform() < probability

    def between(self, low: float, high: float) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self.rng.uniform()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int((high - low + 1) * self.rng.uniform())

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, each with the same probability."""
        return choices[int(len(choices) * self.rng.uniform())]

    def weighted(self, choices: Sequence[tuple[T, float]]) -> T:
        """Return one of `choices`, given as (choice, weight), with a probability proportional to its weight."""
        at = self.rng.uniform() * sum(weight for _, weight in choices)
        for choice, weight in choices:
            at -= weight
            if at < 0:
                return choice
        return choices[-1][0]

    def some(self, choices: Sequence[T], probability: float) -> list[T]:
        """Return a subset of `choices` that contains each with the given probability."""
        return [choice for choice in choices if self.happens(probability)]

    def shuffled(self, choices: Sequence[T]) -> list[T]:
        """Return all `choices` in random order."""
        left = list(choices)
        return [left.pop(int(len(left) * self.rng.uniform())) for _ in range(len(left))]


def stream(seed: int, name: str) -> SeededRng:
    """Return the random number generator of the stream `name` of a seed."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return SeededRng(int.from_bytes(digest, "big"))
