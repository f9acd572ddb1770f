"""Compares the metered time of ended attempts with the accounting of their engine's cluster, and corrects it by postings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import text
from pearlstreet.compute.engines.accounts import JobAccount
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.ledger.corrections import effective_uses, replace_use
from pearlstreet.ledger.model import Span
from pearlstreet.store.core import Row, Tx

TOLERANCE_US = US_PER_S
"""Difference up to which both agree: clusters count whole seconds."""
ATTEMPTS_MAX = 5_000
"""Number of attempts compared at a time, the newest first."""
WHY = text("Time corrected to the accounting of the cluster")


@dataclass(frozen=True, slots=True)
class Difference:
    """An attempt whose metered time is not that of its cluster's accounting. Times are in µs since 1970."""

    attempt_id: str
    owner_id: str
    org_id: str
    job: str
    """Number of its job on the cluster."""
    start_us: int
    end_us: int
    account_start_us: int
    account_end_us: int
    corrected: bool = False
    """Whether its charges were corrected now."""

    @property
    def excess_us(self) -> int:
        """Time metered beyond what the accounting has; below 0: less was metered."""
        return (self.end_us - self.start_us) - (self.account_end_us - self.account_start_us)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Result of a comparison."""

    compared: int
    """Number of attempts in both."""
    unaccounted: int
    """Number of metered attempts that the accounting does not have."""
    differences: Sequence[Difference]


def reconcile(
    tx: Tx, engine: str, accounts: Sequence[JobAccount], since_us: int, *, correct: bool
) -> Reconciliation:
    """Compare the attempts of an engine that ended since then with its accounts; correct those that differ if asked."""
    by_attempt = {account.attempt_id: account for account in accounts}
    over = (attempts.c.engine == engine) & (attempts.c.state == AttemptState.ENDED.value)
    query = (
        sa.select(attempts)
        .where(over, attempts.c.ended_us >= since_us, attempts.c.started_us.is_not(None))
        .order_by(attempts.c.ended_us.desc())
        .limit(ATTEMPTS_MAX)
    )
    rows = list(tx.rows(query))
    spans = _spans(tx, [row["id"] for row in rows])
    found = []
    for row in rows:
        difference = _difference(row, spans.get(row["id"], ()), by_attempt.get(row["id"]))
        if difference is not None:
            found.append(_correct(tx, difference, spans[row["id"]]) if correct else difference)
    known = sum(row["id"] in by_attempt and row["id"] in spans for row in rows)
    return Reconciliation(known, len(spans) - known, found)


def _spans(tx: Tx, ids: Sequence[str]) -> Mapping[str, Sequence[Span]]:
    found: dict[str, list[Span]] = {}
    for start in range(0, len(ids), 500):
        for external_id, uses in effective_uses(tx, ids[start : start + 500]).items():
            found[external_id] = [use.span for use in uses]
    return found


def _difference(row: Row, spans: Sequence[Span], account: JobAccount | None) -> Difference | None:
    if account is None or not spans:
        return None
    start_us, end_us = min(span.start_us for span in spans), max(span.end_us for span in spans)
    apart_us = max(abs(start_us - account.start_us), abs(end_us - account.end_us))
    if apart_us <= TOLERANCE_US:
        return None
    return Difference(
        row["id"],
        row["owner_id"],
        row["org_id"],
        account.job,
        start_us,
        end_us,
        account.start_us,
        account.end_us,
    )


def _correct(tx: Tx, difference: Difference, spans: Sequence[Span]) -> Difference:
    right = moved(spans, difference.account_start_us, difference.account_end_us)
    return replace(difference, corrected=replace_use(tx, difference.attempt_id, right, WHY))


def moved(spans: Sequence[Span], start_us: int, end_us: int) -> list[Span]:
    """PURE: return the spans of each resource as they cover exactly the time from `start_us` to `end_us`.

    The first begins and the last ends there; what time was billed, and what not, stays the same in between.
    """
    found = []
    for resource in dict.fromkeys(span.resource for span in spans):
        own = sorted((span for span in spans if span.resource == resource), key=lambda span: span.start_us)
        for number, span in enumerate(own):
            first = start_us if number == 0 else max(span.start_us, start_us)
            last = end_us if number == len(own) - 1 else min(span.end_us, end_us)
            if last > first:
                found.append(replace(span, start_us=first, end_us=last))
    return found
