"""Random number generators, passed as parameters, so that a seed reproduces a simulation exactly."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Rng(Protocol):
    """A source of randomness; every package gets one as a parameter."""

    def token_bytes(self, count: int) -> bytes:
        """Return `count` random bytes; SystemRng's are fit for secrets."""
        ...

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
        ...


class SystemRng:
    """The operating system's cryptographic randomness."""

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def uniform(self) -> float:
        return secrets.randbits(53) / (1 << 53)


class SeededRng:
    """A generator that repeats its sequence from a seed, for simulation and tests. Never for secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self) -> float:
        return self._random.random()
