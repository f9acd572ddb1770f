"""Spans of reported use, appended once, in order, without overlap or gap. The ledger owns their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import check
from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.refunds import refund_attempt as refund_attempt
from pearlstreet.ledger.tables import DUE, FREE, spans, streams
from pearlstreet.store.core import Tx

NOT_BILLED = text("Not billed")
TOPIC = "spans"
"""Topic of the hint that spans are due to be posted."""

# Statements are built once because building one costs far more than running it.
_STREAM = sa.select(streams).where(
    streams.c.external_id == sa.bindparam("external_id"),
    streams.c.resource == sa.bindparam("resource"),
    streams.c.source == sa.bindparam("source"),
)
_INSERT_STREAM = sa.insert(streams)
_GROW_STREAM = sa.update(streams).where(streams.c.id == sa.bindparam("of_stream"))
_INSERT_SPAN = sa.insert(spans)


def append_span(tx: Tx, span: Span) -> None:
    """Append one span; appending the same span again has no effect.

    Raises BugError for a different span under the same key, an overlap or a gap, and InvalidInput when the price version
    has no price for the span. Nothing is written when it raises.
    """
    check(span.end_us >= span.start_us and span.amount >= 0, "use runs forward", span=_name(span))
    check(span.unit.is_timed or span.end_us > 0, "a counted span has a time", span=_name(span))
    prices(tx, span.price_version_id).rule_for(span.resource, span.unit, span.pflops)
    stream = _stream(tx, span)
    if stream is None:
        check(span.sequence == 0, "a stream starts with sequence 0", span=_name(span))
        stream_id = _start(tx, span)
    else:
        stream_id = stream["id"]
        _check_same_stream(stream, span)
        if span.sequence <= stream["last_sequence"]:
            _check_repeat(tx, stream_id, span)
            return
        check(span.sequence == stream["last_sequence"] + 1, "spans come in order", span=_name(span))
        check(span.start_us == stream["end_us"], "spans neither overlap nor gap", span=_name(span))
        grown = {"of_stream": stream_id, "last_sequence": span.sequence, "end_us": span.end_us}
        tx.execute(_GROW_STREAM, grown)
    tx.execute(_INSERT_SPAN, _span_row(stream_id, span))
    if span.billable:
        tx.hint(TOPIC)


@dataclass(frozen=True, slots=True)
class Use:
    """A stored span with its billing state and its charge."""

    span: Span
    state: str
    charge_id: str | None


def spans_of(tx: Tx, org_id: str, reference: str) -> Sequence[Use]:
    """Return all spans of an organisation under a reference (a job), oldest first."""
    return uses_where(tx, streams.c.org_id == org_id, streams.c.reference == reference)


def uses_where(tx: Tx, *conditions: sa.ColumnElement[bool]) -> Sequence[Use]:
    """Return the spans whose streams meet all conditions, oldest first."""
    query = (
        sa.select(spans, streams)
        .join_from(spans, streams, spans.c.stream_id == streams.c.id)
        .where(*conditions)
        .order_by(spans.c.id)
    ).set_label_style(sa.LABEL_STYLE_TABLENAME_PLUS_COL)
    return [_use(row) for row in tx.rows(query)]


def _use(row: RowMapping) -> Use:
    from_span = {name: row[f"ledger_spans_{name}"] for name in ("sequence", "start_us", "end_us", "amount")}
    from_stream = {
        name: row[f"ledger_streams_{name}"]
        for name in (
            "source",
            "external_id",
            "resource",
            "org_id",
            "project_id",
            "reference",
            "price_version_id",
        )
    }
    span = Span(
        **from_span,
        **from_stream,
        unit=Unit(row["ledger_streams_unit"]),
        pflops=row["ledger_spans_pflops"],
        pflops_basis=row["ledger_spans_pflops_basis"],
        billable=row["ledger_spans_state"] != FREE,
        why_not=Text(row["ledger_spans_why_not"]) if row["ledger_spans_why_not"] else None,
    )
    return Use(span, row["ledger_spans_state"], row["ledger_spans_charge_id"])


def _stream(tx: Tx, span: Span) -> RowMapping | None:
    key = {"external_id": span.external_id, "resource": span.resource, "source": span.source}
    return tx.execute(_STREAM, key).mappings().first()


def _start(tx: Tx, span: Span) -> int:
    made = tx.execute(
        _INSERT_STREAM,
        {
            "source": span.source,
            "external_id": span.external_id,
            "resource": span.resource,
            "org_id": span.org_id,
            "project_id": span.project_id,
            "reference": span.reference,
            "unit": span.unit.value,
            "price_version_id": span.price_version_id,
            "last_sequence": span.sequence,
            "end_us": span.end_us,
            "carry": "0",
        },
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def _span_row(stream_id: int, span: Span) -> dict[str, object]:
    return {
        "stream_id": stream_id,
        "sequence": span.sequence,
        "start_us": span.start_us,
        "end_us": span.end_us,
        "amount": span.amount,
        "pflops": span.pflops,
        "pflops_basis": span.pflops_basis,
        "state": DUE if span.billable else FREE,
        "why_not": "" if span.billable else (span.why_not or NOT_BILLED).template[:200],
        "charge_id": None,
    }


def _check_same_stream(stream: RowMapping, span: Span) -> None:
    for name in ("org_id", "project_id", "reference", "price_version_id"):
        check(
            stream[name] == getattr(span, name),
            "spans of one stream share organisation, project, reference and prices",
            span=_name(span),
            field=name,
        )
    check(stream["unit"] == span.unit.value, "spans of one stream share their unit", span=_name(span))


def _check_repeat(tx: Tx, stream_id: int, span: Span) -> None:
    kept = tx.first(sa.select(spans).where(spans.c.stream_id == stream_id, spans.c.sequence == span.sequence))
    names = ("start_us", "end_us", "amount", "pflops", "pflops_basis")
    same = kept is not None and all(kept[name] == getattr(span, name) for name in names)
    check(same, "another span stands under this key", span=_name(span))


def _name(span: Span) -> str:
    return f"{span.source}/{span.external_id}/{span.resource}/{span.sequence}"
