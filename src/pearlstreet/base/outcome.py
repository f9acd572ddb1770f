"""Outcomes: the four kinds of value that a call of an engine returns instead of raising exceptions.

After `Unknown` the call may or may not have taken effect. The caller must probe by its own id before it tries again,
so that a lost answer never starts a job twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pearlstreet.base.text import Text

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """The call took effect, now or at an earlier try; `value` is its result."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Refused:
    """The call had no effect, and repeating it will not help: the request must change. `code` is machine-readable."""

    code: str
    reason: Text


@dataclass(frozen=True, slots=True)
class Retry:
    """The call certainly had no effect; the same call may succeed after `after_s` seconds."""

    after_s: float
    reason: Text


@dataclass(frozen=True, slots=True)
class Unknown:
    """The call may or may not have taken effect; the caller must probe before it tries again."""

    reason: Text


Outcome = Done[T_co] | Refused | Retry | Unknown
