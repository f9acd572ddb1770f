"""The exceptions of expected failures. Each class has a stable code and the HTTP status that the API returns for it.

PearlError
├── InvalidInput 422      the input is wrong; `problems` name field and line
├── Unauthenticated 401   the request has no valid credentials
├── Forbidden 403         the user is known but lacks the scope
├── NotFound 404          the object does not exist or is another tenant's; the answers are equal on purpose
├── Conflict 409          the present state does not allow the action
│   └── IdempotencyMismatch 422
├── PaymentRequired 402   the balance does not cover the cost
├── TooLarge 413          the input is larger than a limit
├── TooMany 429           a rate limit or a maximum number is reached; `retry_after_s` when waiting helps
├── ConfigurationError    the operator must change a setting; a running server never returns it
├── Unavailable 503       a dependency is down or the disk is full; `retry_after_s` says when to try again
└── BugError 500          an invariant of the program does not hold
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from pearlstreet.base.text import Text, text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an input: its place, what is wrong, and a hint at what would be right."""

    field: str
    message: Text
    line: int | None = None
    column: int | None = None
    file: str | None = None
    hint: Text | None = None


class PearlError(Exception):
    """An expected failure, with a message for the user."""

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
    """Collects the problems of all parts of an input, so that the user sees all of them at once."""

    problems: list[Problem] = field(default_factory=list)

    def read(self, reader: Callable[[], T], instead: T) -> T:
        """Return the result of `reader`; if it raises InvalidInput, keep its problems and return `instead`."""
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
    """Raise BugError unless `condition` holds. Unlike `assert`, it works under `python -O` too.

    `what` states the invariant; `values` are added to the message.
    """
    if not condition:
        raise BugError(text("An internal check failed: {what} {values}", what=what, values=values or ""))
