"""Models and conversions that the bodies of several routes share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pearlstreet.base.clock import from_rfc3339, to_rfc3339
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money, format_yuan, parse_yuan
from pearlstreet.base.text import Text, text

Time = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-01-31T08:00:00.000000Z"])]
Yuan = Annotated[str, Field(description="Yuan, exact to the micro-yuan", examples=["12.50"])]


class In(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000)


class Out(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(extra="forbid")


class ProblemItem(BaseModel):
    """One problem of one input."""

    field: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None


class ProblemDocument(BaseModel):
    """Problem document of RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    hint: str | None = None
    problems: list[ProblemItem] | None = None
    retry_after_s: int | None = None


ERRORS: dict[int | str, dict[str, object]] = {
    status: {
        "description": words,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for status, words in {
        401: "Not signed in",
        402: "The balance is too low",
        403: "The scope is missing",
        404: "Absent, or another tenant's",
        409: "Not possible in the current state",
        413: "Too large",
        422: "The request is invalid",
        429: "Too many requests",
        503: "Not available right now; Retry-After says when to try again",
    }.items()
}


def time_of(us: int | None) -> str | None:
    """Return a time in µs as RFC 3339."""
    return None if us is None else to_rfc3339(us)


def words(value: Text | None, language: str) -> str | None:
    """Return a message in a language."""
    return None if value is None else value.render(language)


def yuan_of(amount: Money) -> str:
    """Return an amount in yuan: exact, at least two decimals, no separators (`12345.50`)."""
    return format_yuan(amount.micro).replace(",", "")


def read_yuan(value: str, field: str) -> Money:
    """Return an amount of a request. Raises InvalidInput naming `field`."""
    try:
        return parse_yuan(value)
    except ValueError:
        message = text("{value} is not an amount of yuan with at most 6 decimals", value=value[:40])
        hint = text("Write it like 1000 or 12.50")
        raise InvalidInput(message, problems=[Problem(field, message, hint=hint)]) from None


def read_time(value: str | None, field: str) -> int | None:
    """Return a time of a request in µs. Raises InvalidInput naming `field`."""
    if value is None:
        return None
    try:
        return from_rfc3339(value.replace(" ", "+"))
    except (ValueError, OverflowError):
        message = text("{value} is not a time with a zone", value=value[:40])
        hint = text("Write it like 2026-01-31T08:00:00Z")
        raise InvalidInput(message, problems=[Problem(field, message, hint=hint)]) from None
