"""Corrections of reported use: what was charged is refunded, and the right spans are charged, as new transactions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import sqlalchemy as sa

from pearlstreet.base.text import Text
from pearlstreet.ledger.model import Span
from pearlstreet.ledger.refunds import refund_attempt
from pearlstreet.ledger.spans import Use, append_span, uses_where
from pearlstreet.ledger.tables import streams
from pearlstreet.store.core import Tx

CORRECTED = "corrected"
"""Source of spans that replace others of the same external id."""


def effective_uses(tx: Tx, external_ids: Collection[str]) -> dict[str, list[Use]]:
    """Return the spans of each external id, oldest first: those that replaced others if there are any."""
    found: dict[str, list[Use]] = {}
    for use in uses_where(tx, streams.c.external_id.in_(list(external_ids))):
        found.setdefault(use.span.external_id, []).append(use)
    for external_id, uses in found.items():
        corrected = [use for use in uses if use.span.source == CORRECTED]
        found[external_id] = corrected or uses
    return found


def is_corrected(tx: Tx, external_id: str) -> bool:
    """Return whether the spans of an external id were replaced; that is done once."""
    query = sa.select(streams.c.id).where(streams.c.external_id == external_id, streams.c.source == CORRECTED)
    return tx.scalar(query.limit(1)) is not None


def replace_use(tx: Tx, external_id: str, spans: Sequence[Span], reason: Text) -> bool:
    """Refund what an external id was charged and charge these spans instead; returns whether it was done, which is once.

    `reason` has no parameters. The spans of each resource follow each other without gap.
    """
    if is_corrected(tx, external_id):
        return False
    refund_attempt(tx, external_id, reason)
    numbers: dict[str, int] = {}
    for span in spans:
        number = numbers.get(span.resource, 0)
        append_span(tx, replace(span, source=CORRECTED, external_id=external_id, sequence=number))
        numbers[span.resource] = number + 1
    return True
