"""Random numbers that depend on a seed and a key, not on the order of calls, so that any run can be replayed."""

from __future__ import annotations

import hashlib
from statistics import NormalDist

_NORMAL = NormalDist()


class KeyedRandom:
    """Replayable random numbers: the same seed and key always give the same value, in any thread and after a restart."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed

    def uniform(self, *key: object) -> float:
        """Return a float in [0, 1) for `key`."""
        named = "\0".join(map(str, key)).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(named, key=self.seed[:64], digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

    def between(self, low: float, high: float, *key: object) -> float:
        """Return a float in [low, high) for `key`."""
        return low + (high - low) * self.uniform(*key)

    def normal(self, *key: object) -> float:
        """Return a draw from the standard normal distribution for `key`."""
        return _NORMAL.inv_cdf(min(max(self.uniform(*key), 1e-12), 1 - 1e-12))
