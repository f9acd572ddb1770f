"""Parsers of form fields: numbers, amounts and times. Each raises InvalidInput naming its field."""

from __future__ import annotations

from datetime import datetime

from pearlstreet.base.clock import EPOCH, US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.base.text import Text, text
from pearlstreet.console.page_request import PageRequest
from pearlstreet.ledger.months import zone_of


def wrong(field: str, message: Text, hint: Text | None = None) -> InvalidInput:
    """Return an error about one field."""
    return InvalidInput(message, problems=[Problem(field, message, hint=hint)])


def number_in(request: PageRequest, field: str) -> float | None:
    """Parse a number; None for an empty field."""
    written = request.value(field).replace(",", "")
    if not written:
        return None
    try:
        return float(written)
    except ValueError:
        raise wrong(field, text("{value} is not a number", value=written[:40])) from None


def yuan_in(request: PageRequest, field: str) -> Money:
    """Parse an amount of yuan."""
    written = request.value(field)
    try:
        return parse_yuan(written)
    except ValueError:
        message = text("{value} is not an amount of yuan with at most 6 decimals", value=written[:40])
        raise wrong(field, message, text("Write it like 1000 or 12.50")) from None


def moment_in(request: PageRequest, field: str, zone: str) -> int | None:
    """Parse a date and time (`2026-11-30T08:00`) or a date in the time zone `zone`, in µs; None for an empty field."""
    written = request.value(field)
    if not written:
        return None
    try:
        local = datetime.fromisoformat(written)
        moment = local if local.tzinfo is not None else local.replace(tzinfo=zone_of(zone))
        delta = moment - EPOCH
    except (ValueError, OverflowError):
        message = text("{value} is not a date and time", value=written[:40])
        raise wrong(field, message, text("Write it like 2026-11-30T08:00")) from None
    return (delta.days * 86_400 + delta.seconds) * US_PER_S


def text_in(request: PageRequest, field: str, most: int) -> str:
    """Return the text of a field. Raises InvalidInput if it is longer than `most` characters."""
    written = request.value(field)
    if len(written) > most:
        raise wrong(field, text("At most {most} characters fit", most=most))
    return written
