"""A naive accountant: exact fractions, no rounding but the one at the end of each stream, nothing shared with the ledger.

It is told what was delivered and what was asked for, in the order in which the books took it, and says what the books
must say.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from pearlstreet.ledger.model import Span, Unit

ZONE = ZoneInfo("Asia/Shanghai")
HOUR_US = 3_600_000_000
Rates = dict[tuple[str, str], tuple[int, int]]
"""(resource, kind of rule) → (micro-yuan, per)."""
StreamKey = tuple[str, str]
"""(attempt, resource)."""


@dataclass
class Stream:
    """What is known of one stream of use."""

    following: int = 0
    """The sequence that comes next."""
    exact: Fraction = Fraction(0)
    standing: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Charged and not given back, by (organisation, project, month)."""


@dataclass
class Hold:
    """Money set aside for an attempt."""

    id: str
    org_id: str
    amount: int
    used: int = 0
    settled: bool = False


class Accountant:
    """What the books must say."""

    def __init__(self) -> None:
        self.rates: dict[str, Rates] = {}
        self.balance: Counter[str] = Counter()
        self.limit: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.spending: Counter[tuple[str, str]] = Counter()
        self.streams: dict[StreamKey, Stream] = {}
        self.streams_of: dict[str, list[StreamKey]] = {}
        self.holds: dict[str, Hold] = {}
        self.due: OrderedDict[tuple[StreamKey, int], Span] = OrderedDict()
        self.due_of: dict[str, list[tuple[StreamKey, int]]] = {}

    def available(self, org_id: str) -> int:
        """What a new hold may take."""
        return self.balance[org_id] + self.limit[org_id] - self.held[org_id]

    def deliver(self, span: Span) -> str:
        """`taken`, `repeated`, or `refused` because one before it is missing."""
        key = (span.external_id, span.resource)
        stream = self.streams.get(key)
        following = stream.following if stream is not None else 0
        if span.sequence != following:
            return "repeated" if span.sequence < following else "refused"
        if stream is None:
            stream = self.streams[key] = Stream()
            self.streams_of.setdefault(span.external_id, []).append(key)
        stream.following += 1
        if span.billable:
            self.due[key, span.sequence] = span
            self.due_of.setdefault(span.external_id, []).append((key, span.sequence))
        return "taken"

    def post(self, limit: int) -> int:
        """Bill the `limit` oldest due spans."""
        count = min(limit, len(self.due))
        for _ in range(count):
            (key, _sequence), span = self.due.popitem(last=False)
            self._bill(key, span)
        return count

    def bill(self, item: tuple[StreamKey, int]) -> None:
        """Bill one due span."""
        self._bill(item[0], self.due.pop(item))

    def hold(self, attempt: str, org_id: str, amount: int, hold_id: str | None) -> bool:
        """Whether the answer (None: refused for want of money) to a wish to set money aside is right."""
        known = self.holds.get(attempt)
        if known is not None:
            return hold_id == known.id
        if self.available(org_id) < amount:
            return hold_id is None
        if hold_id is None:
            return False
        self.holds[attempt] = Hold(hold_id, org_id, amount)
        self.held[org_id] += amount
        return True

    def extend(self, attempt: str, to_amount: int) -> bool:
        """Whether a hold grows."""
        hold = self.holds[attempt]
        more = to_amount - hold.amount
        if more <= 0:
            return True
        if self.available(hold.org_id) < more:
            return False
        hold.amount = to_amount
        self.held[hold.org_id] += more
        return True

    def settle(self, attempt: str) -> int:
        """Bill what is due of an attempt and free the rest of its hold."""
        for item in self.due_of.pop(attempt, []):
            if item in self.due:
                self._bill(item[0], self.due.pop(item))
        hold = self.holds[attempt]
        if hold.settled:
            return 0
        hold.settled = True
        self.held[hold.org_id] -= hold.amount - hold.used
        return hold.amount - hold.used

    def refund(self, attempt: str) -> int:
        """Give back all that stands and bill nothing that is due."""
        for item in self.due_of.pop(attempt, []):
            self.due.pop(item, None)
        given = 0
        for key in self.streams_of.get(attempt, []):
            standing = self.streams[key].standing
            for (org_id, project_id, month), amount in standing.items():
                given += amount
                self.balance[org_id] += amount
                self.spending[org_id, month] -= amount
                self.spending[project_id, month] -= amount
            standing.clear()
        return given

    def _bill(self, key: StreamKey, span: Span) -> None:
        stream = self.streams[key]
        total = 0
        for month, length_us, used_us in months(span.start_us, span.end_us):
            before = round(stream.exact)
            stream.exact += _price(self.rates[span.price_version_id], span, used_us, length_us)
            amount = round(stream.exact) - before
            total += amount
            stream.standing[span.org_id, span.project_id, month] += amount
            self.spending[span.org_id, month] += amount
            self.spending[span.project_id, month] += amount
        self.balance[span.org_id] -= total
        hold = self.holds.get(span.external_id)
        if hold is not None and not hold.settled:
            used = min(total, hold.amount - hold.used)
            hold.used += used
            self.held[hold.org_id] -= used


def _price(rates: Rates, span: Span, used_us: int, month_us: int) -> Fraction:
    """The exact price of a stretch inside one month, in micro-yuan."""
    held = span.amount * used_us
    if span.unit is Unit.CPU_MILLI:
        kind, quantity = "core_hour", Fraction(held, 1000 * HOUR_US)
    elif span.unit is Unit.MEMORY_MIB:
        kind, quantity = "gib_hour", Fraction(held, 1024 * HOUR_US)
    elif span.unit is Unit.STORAGE_BYTES:
        kind, quantity = "gib_month", Fraction(held, 2**30 * month_us)
    else:
        kind, quantity = "card_hour", Fraction(held, 10_000 * HOUR_US)
        if span.pflops and (span.resource, "card_hour") not in rates:
            kind, quantity = "pflops_hour", quantity * Fraction(str(span.pflops))
    family = span.resource.split("/")[0] + "/*"
    micro, per = rates.get((span.resource, kind)) or rates[family, kind]
    return quantity * micro / per


def months(start_us: int, end_us: int) -> list[tuple[str, int, int]]:
    """(month, its length, the part of [start, end) that lies in it), in order."""
    found = []
    while True:
        name, begins_us, ends_us = _month(start_us // HOUR_US)
        till_us = min(end_us, ends_us)
        found.append((name, ends_us - begins_us, till_us - start_us))
        if end_us <= ends_us:
            return found
        start_us = till_us


@cache
def _month(hour: int) -> tuple[str, int, int]:
    local = datetime.fromtimestamp(hour * 3600, UTC).astimezone(ZONE)
    first = local.replace(day=1, hour=0)
    following = first.replace(year=local.year + local.month // 12, month=local.month % 12 + 1)
    return f"{first:%Y-%m}", int(first.timestamp()) * 1_000_000, int(following.timestamp()) * 1_000_000
