"""What an engine's own accounting says of attempts, where what it drives keeps one, as Slurm does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pearlstreet.base.outcome import Outcome


@dataclass(frozen=True, slots=True)
class JobAccount:
    """An attempt that ran and ended, as the accounting of its cluster has it. Times are in µs since 1970."""

    attempt_id: str
    job: str
    """Number of its job there."""
    start_us: int
    end_us: int


@runtime_checkable
class AccountedEngine(Protocol):
    """An engine whose cluster keeps accounts of its own."""

    def accounts(self, since_us: int) -> Outcome[Sequence[JobAccount]]:
        """Return the accounts of attempts that ended since then."""
        ...
