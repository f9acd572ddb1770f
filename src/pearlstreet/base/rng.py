"""Randomness as a value that is handed in, so that a seed replays everything."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Rng(Protocol):
    """Where every room gets its randomness from."""

    def token_bytes(self, count: int) -> bytes:
        """`count` random bytes, unguessable in production."""
        ...

    def uniform(self) -> float:
        """A float in [0, 1)."""
        ...


class SystemRng:
    """The operating system's randomness."""

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def uniform(self) -> float:
        return secrets.randbits(53) / (1 << 53)


class SeededRng:
    """Replayable randomness for simulation and tests. Never for secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self) -> float:
        return self._random.random()
