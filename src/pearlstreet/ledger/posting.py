"""Posting of due spans as charges, exactly once: one balanced transaction for each stream, month and rule of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import chunks, post
from pearlstreet.ledger.budgets import add_spending
from pearlstreet.ledger.funds import use_holds
from pearlstreet.ledger.model import Draft, Entry, TxKind, Unit
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.pricing import NOTHING, PriceRule, PriceVersion, bill, by_month
from pearlstreet.ledger.rules import Slice
from pearlstreet.ledger.tables import DUE, IS_DUE, POSTED, charges, spans, streams
from pearlstreet.store.core import Store, Tx

BATCH = 5000
"""Largest number of spans posted in one transaction; it limits how long other writers wait."""

# Statements are built once because building one costs far more than running it.
_STREAM_COLUMNS = ("id", "source", "external_id", "resource", "org_id", "project_id", "reference", "unit",
                   "price_version_id", "carry")  # fmt: skip
_STREAMS = sa.select(*(streams.c[name] for name in _STREAM_COLUMNS)).where(
    streams.c.id.in_(sa.bindparam("ids", expanding=True))
)
_CARRY = sa.update(streams).where(streams.c.id == sa.bindparam("of_stream"))
_LAST = sa.select(sa.func.max(charges.c.seq))
_INSERT_CHARGE = sa.insert(charges)
_MARK = (
    sa.update(spans)
    .where(
        spans.c.stream_id == sa.bindparam("stream"),
        spans.c.sequence >= sa.bindparam("first"),
        spans.c.sequence <= sa.bindparam("last"),
        sa.or_(
            spans.c.state == DUE, spans.c.state == POSTED
        ),  # not IN: a list of values cannot be a parameter of executemany
    )
    .values(state=POSTED, charge_id=sa.bindparam("charge"))
)


@dataclass(frozen=True, slots=True)
class Stream:
    """The fields that the spans of one stream share, and `carry`: the exact price of all posted use, in micro-yuan."""

    id: int
    source: str
    external_id: str
    resource: str
    org_id: str
    project_id: str
    reference: str
    unit: Unit
    price_version_id: str
    carry: Fraction


@dataclass(frozen=True, slots=True)
class DueSpan:
    """The fields of a due span that its price depends on."""

    sequence: int
    start_us: int
    end_us: int
    amount: int
    pflops: float | None


@dataclass(frozen=True, slots=True)
class Posting:
    """A new charge: for consecutive spans of one stream, inside one month, under one price rule."""

    month: str
    rule: PriceRule
    first_sequence: int
    last_sequence: int
    quantity: Fraction
    amount: Money


def post_due_spans(store: Store, limit: int = BATCH) -> int:
    """Post up to `limit` due spans, oldest first; returns the number posted. Idempotent: each span is posted once."""
    if not store.read(lambda tx: tx.scalar(sa.select(spans.c.id).where(IS_DUE).limit(1))):
        return 0
    return store.write(lambda tx: post_spans(tx, limit=limit))


def post_spans(
    tx: Tx, *, external_id: str | None = None, org_id: str | None = None, limit: int | None = None
) -> int:
    """Post due spans inside a transaction: all, or those of one attempt (`external_id`) or organisation.

    Returns the number of spans posted.
    """
    due = _load(tx, external_id, org_id, limit)
    made: list[tuple[Stream, Posting]] = []
    for stream, used in due:
        postings, carry = decide(prices(tx, stream.price_version_id), stream, used)
        made += [(stream, posting) for posting in postings]
        tx.execute(_CARRY, {"of_stream": stream.id, "carry": str(carry)})
    _write(tx, made)
    return sum(len(used) for _, used in due)


def decide(version: PriceVersion, stream: Stream, used: Sequence[DueSpan]) -> tuple[list[Posting], Fraction]:
    """PURE: Return the charges for a stream's next spans and the new carry."""
    groups: dict[tuple[str, PriceRule], list[Any]] = {}
    for span in used:
        rule = version.rule_for(stream.resource, stream.unit, span.pflops)
        for month, quantity in by_month(stream.unit, span.amount, span.start_us, span.end_us, version.zone):
            group = groups.setdefault((month.name, rule), [span.sequence, span.sequence, {}])
            group[1] = span.sequence
            key = (span.pflops, month.length_us)
            group[2][key] = group[2].get(key, 0) + quantity
    carry: Fraction = stream.carry
    postings: list[Posting] = []
    for (month_name, rule), (first, last, quantities) in groups.items():
        slices = [Slice(stream.unit, total, pflops, us) for (pflops, us), total in quantities.items()]
        exact: Fraction = sum((rule.rule_kind.quantity(part) for part in slices), NOTHING)
        amount, carry = bill(exact * rule.micro / rule.per, carry)
        postings.append(Posting(month_name, rule, first, last, exact, amount))
    return postings, carry


def _load(
    tx: Tx, external_id: str | None, org_id: str | None, limit: int | None
) -> list[tuple[Stream, list[DueSpan]]]:
    known = {"external_id": external_id, "org_id": org_id, "most": limit}
    given = {name: value for name, value in known.items() if value is not None}
    found: dict[int, list[DueSpan]] = {}
    rows: Sequence[Any] = tx.execute(_due(frozenset(given)), given).all()
    for row in rows:
        found.setdefault(row[0], []).append(DueSpan(row[1], row[2], row[3], row[4], row[5]))
    return [(stream, found[stream.id]) for stream in _load_streams(tx, list(found))]


@cache
def _due(given: frozenset[str]) -> sa.Select[Any]:
    columns = (spans.c.sequence, spans.c.start_us, spans.c.end_us, spans.c.amount, spans.c.pflops)
    query = sa.select(spans.c.stream_id, *columns).where(IS_DUE).order_by(spans.c.id)
    of_stream = given & {"external_id", "org_id"}
    if of_stream:
        query = query.join_from(spans, streams, spans.c.stream_id == streams.c.id)
    for name in sorted(of_stream):
        query = query.where(streams.c[name] == sa.bindparam(name))
    return query.limit(sa.bindparam("most", type_=sa.Integer)) if "most" in given else query


def _load_streams(tx: Tx, ids: Sequence[int]) -> list[Stream]:
    made = {}
    for part in chunks(ids):
        rows: Sequence[Any] = tx.execute(_STREAMS, {"ids": part}).all()
        for r in rows:
            made[r[0]] = Stream(r[0], r[1], r[2], r[3], r[4], r[5], r[6], Unit(r[7]), r[8], Fraction(r[9]))
    return [made[stream_id] for stream_id in ids]


def _write(tx: Tx, made: Sequence[tuple[Stream, Posting]]) -> None:
    if not made:
        return
    drafts = [_draft(stream, posting) for stream, posting in made if posting.amount]
    posted = iter(post(tx, drafts))
    seq: int = tx.execute(_LAST).scalar() or 0
    rows: list[dict[str, Any]] = []
    held: dict[str, int] = {}
    spent: dict[tuple[str, str], int] = {}
    for stream, posting in made:
        seq += 1
        entry = next(posted) if posting.amount else None
        rows.append(charge_row(tx, seq, stream, posting, entry.seq if entry else None))
        amount = posting.amount.micro
        held[stream.external_id] = held.get(stream.external_id, 0) + amount
        for subject in (stream.org_id, stream.project_id):
            key = (subject, posting.month)
            spent[key] = spent.get(key, 0) + amount
    tx.execute(_INSERT_CHARGE, rows)
    _mark(tx, rows)
    use_holds(tx, held)
    add_spending(tx, spent)


def _mark(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Mark the spans as posted, each with the id of the last charge that bills it."""
    tx.execute(
        _MARK,
        [
            {
                "stream": row["stream_id"],
                "first": row["first_sequence"],
                "last": row["last_sequence"],
                "charge": row["id"],
            }
            for row in rows
        ],
    )


def _draft(stream: Stream, posting: Posting) -> Draft:
    key = f"{stream.source}/{stream.external_id}/{stream.resource}"
    rule = f"{posting.rule.resource}:{posting.rule.kind}"
    return Draft(
        TxKind.CHARGE,
        f"charge/{key}/{posting.first_sequence}-{posting.last_sequence}/{posting.month}/{rule}",
        text("{resource} of {reference}", resource=stream.resource, reference=stream.reference),
        org_id=stream.org_id,
        funds=-posting.amount,
        entries=(Entry(chart.revenue(stream.resource), -posting.amount),),
    )


def charge_row(tx: Tx, seq: int, stream: Stream, posting: Posting, tx_seq: int | None) -> dict[str, object]:
    """Return the row of a charge for the table `ledger_charges`."""
    return {
        "id": tx.new_id("chg"),
        "seq": seq,
        "stream_id": stream.id,
        "org_id": stream.org_id,
        "project_id": stream.project_id,
        "month": posting.month,
        "first_sequence": posting.first_sequence,
        "last_sequence": posting.last_sequence,
        "rule_resource": posting.rule.resource,
        "rule_kind": posting.rule.kind,
        "quantity": str(posting.quantity),
        "amount_micro": posting.amount.micro,
        "tx_seq": tx_seq,
        "refunds_id": None,
        "invoice_id": None,
        "at_us": tx.now_us,
    }
