"""What an engine (or any far end) answers: a value of one of four kinds, never an exception.

Unknown means "it may have been done": the caller must probe by its own id before trying anything else, so that a lost
answer never starts a job twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pearlstreet.base.text import Text

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """It was done (now or already before); here is the result."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not done and will not be: the request itself must change. `code` is stable and machine-readable."""

    code: str
    reason: Text


@dataclass(frozen=True, slots=True)
class Retry:
    """It was certainly not done; asking again after `after_s` may work."""

    after_s: float
    reason: Text


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have been done: probe before anything else."""

    reason: Text


Outcome = Done[T_co] | Refused | Retry | Unknown
