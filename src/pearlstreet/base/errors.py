"""The one tree of errors. Each class has a stable code and the HTTP status the API door gives it.

PearlError
├── InvalidInput 422      what was sent cannot be right; `problems` name field and line
├── Unauthenticated 401   who is asking?
├── Forbidden 403         known, but no scope allows it
├── NotFound 404          absent, or another tenant's (the two look alike on purpose)
├── Conflict 409          the present state does not allow it
│   └── IdempotencyMismatch 422
├── PaymentRequired 402   the balance does not cover it
├── TooLarge 413
├── TooMany 429           a limit of rate or count; `retry_after_s` when waiting helps
├── ConfigurationError    the operator must change a setting; never leaves a running server
├── Unavailable 503       a dependency is down or the disk is full; `retry_after_s`
└── BugError 500          a broken promise of our own
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from pearlstreet.base.text import Text, text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where it is and what would be right."""

    field: str
    message: Text
    line: int | None = None
    column: int | None = None
    file: str | None = None
    hint: Text | None = None


class PearlError(Exception):
    """An expected failure with a message for the person who met it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(
        self,
        message: Text | str,
        *,
        hint: Text | None = None,
        problems: Sequence[Problem] = (),
        retry_after_s: int | None = None,
    ) -> None:
        self.message = message if isinstance(message, Text) else Text("{message}", {"message": message})
        self.hint = hint
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s
        super().__init__(str(self.message))


class InvalidInput(PearlError):
    code, status = "invalid_input", 422


@dataclass(slots=True)
class Gathered:
    """What is wrong with the parts of an input, each read by itself, so that all of it is told at once."""

    problems: list[Problem] = field(default_factory=list)

    def read(self, reader: Callable[[], T], instead: T) -> T:
        """What `reader` reads; where that is wrong, `instead`, and what is wrong is kept."""
        try:
            return reader()
        except InvalidInput as error:
            self.problems += error.problems
            return instead


class Unauthenticated(PearlError):
    code, status = "unauthenticated", 401


class Forbidden(PearlError):
    code, status = "forbidden", 403


class NotFound(PearlError):
    code, status = "not_found", 404


class Conflict(PearlError):
    code, status = "conflict", 409


class IdempotencyMismatch(Conflict):
    code, status = "idempotency_mismatch", 422


class PaymentRequired(PearlError):
    code, status = "payment_required", 402


class TooLarge(PearlError):
    code, status = "too_large", 413


class TooMany(PearlError):
    code, status = "too_many", 429


class ConfigurationError(PearlError):
    code, status = "configuration", 500


class Unavailable(PearlError):
    code, status = "unavailable", 503


class BugError(PearlError):
    code, status = "bug", 500


def check(condition: bool, what: str, /, **values: object) -> None:
    """Raise BugError unless `condition`: an invariant of ours that `python -O` cannot switch off."""
    if not condition:
        raise BugError(
            text("A promise of the program is broken: {what} {values}", what=what, values=values or "")
        )
