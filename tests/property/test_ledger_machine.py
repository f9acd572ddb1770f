"""The ledger against exact fractions: any order of paying, holding, using, posting, refunding, repeating and confusing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.conftest import make_store
from tests.property.machines import lives

from pearlstreet.base.errors import BugError, PaymentRequired
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import post_one
from pearlstreet.ledger.funds import read_balance, set_credit_limit
from pearlstreet.ledger.holds import extend_hold, place_hold, settle_hold
from pearlstreet.ledger.model import Draft, Entry, Span, TxKind, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.prices import ensure_default_prices, publish_prices
from pearlstreet.ledger.pricing import PriceRule
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.spans import append_span, refund_attempt
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM

ORG = "org_a"
ATTEMPTS = ("att_1", "att_2", "att_3")
HOUR_US = 3_600_000_000
START_US = 1_793_400_000_000_000
# Prices that never come out even: in micro-yuan per `per` units.
RATES = {
    "cpu": (Unit.CPU_MILLI, PriceRule("cpu", "core_hour", 119_999, 7), 1000 * HOUR_US),
    "memory": (Unit.MEMORY_MIB, PriceRule("memory", "gib_hour", 20_011, 3), 1024 * HOUR_US),
    "accelerator/t4": (
        Unit.CARD_BP,
        PriceRule("accelerator/*", "card_hour", 5_000_003, 11),
        10_000 * HOUR_US,
    ),
}
STORAGE = PriceRule("storage", "gib_month", 600_000)


@dataclass
class Stream:
    """What a naive accountant knows of one stream."""

    spans: list[Span] = field(default_factory=list)
    exact: Fraction = Fraction(0)
    """Of everything posted."""
    standing: int = 0
    """Charged and not given back."""


@dataclass
class Hold:
    id: str
    amount: int
    used: int = 0


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store: Store = make_store("sqlite://")
        self.store.write(ensure_default_prices)
        rules = [*(made[1] for made in RATES.values()), STORAGE]
        self.prices = publish_prices(self.store, SYSTEM, rules)
        self.paid = 0
        self.billed = 0
        self.limit = 0
        self.payments = 0
        self.streams: dict[tuple[str, str], Stream] = {}
        self.due: list[tuple[str, str, Span]] = []
        self.holds: dict[str, Hold] = {}
        self.settled: set[str] = set()

    def teardown(self) -> None:
        self.store.close()

    @property
    def available(self) -> int:
        held = sum(hold.amount - hold.used for hold in self.holds.values())
        return self.paid - self.billed + self.limit - held

    @initialize(paid=st.integers(10**6, 10**8), held=st.lists(st.integers(1, 5 * 10**5), max_size=3))
    def open_with_money_and_work(self, paid: int, held: list[int]) -> None:
        self.pay(paid, twice=False)
        for attempt, amount in zip(ATTEMPTS, held, strict=False):
            self.hold(attempt, amount)

    @rule(attempt=st.sampled_from(ATTEMPTS), hours=st.lists(st.integers(1, 60), min_size=1, max_size=4))
    def work(self, attempt: str, hours: list[int]) -> None:
        """The usual course: a few spans, posted."""
        for index, hour in enumerate(hours):
            self.use(attempt, sorted(RATES)[index % 3], hour * HOUR_US // 7, 8192 + index, billable=True)
        self.post(len(hours) + 1)

    @rule(amount=st.integers(1, 10**8), twice=st.booleans())
    def pay(self, amount: int, twice: bool) -> None:
        self.payments += 1
        side = Entry(chart.BANK, Money(amount))
        draft = Draft(
            TxKind.CORRECTION, f"pay/{self.payments}", text("test"), ORG, funds=Money(amount), entries=(side,)
        )
        for _ in range(1 + twice):
            self.store.write(lambda tx: post_one(tx, draft))
        self.paid += amount

    @rule(limit=st.integers(0, 10**7))
    def allow(self, limit: int) -> None:
        set_credit_limit(self.store, SYSTEM, ORG, Money(limit))
        self.limit = limit

    @rule(attempt=st.sampled_from(ATTEMPTS), amount=st.integers(1, 10**8))
    def hold(self, attempt: str, amount: int) -> None:
        if attempt in self.settled:
            return
        try:
            hold_id = self.store.write(lambda tx: place_hold(tx, ORG, Money(amount), attempt))
        except PaymentRequired:
            assert attempt not in self.holds
            assert self.available < amount
            return
        if attempt in self.holds:
            assert hold_id == self.holds[attempt].id
        else:
            assert self.available >= amount
            self.holds[attempt] = Hold(hold_id, amount)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), to=st.integers(0, 2 * 10**8))
    def extend(self, data: st.DataObject, to: int) -> None:
        hold = self.holds[data.draw(st.sampled_from(sorted(self.holds)))]
        may = to - hold.amount <= max(self.available, 0) or to <= hold.amount
        assert self.store.write(lambda tx: extend_hold(tx, hold.id, Money(to))) == may
        if may:
            hold.amount = max(hold.amount, to)

    @rule(
        attempt=st.sampled_from(ATTEMPTS),
        resource=st.sampled_from(sorted(RATES)),
        length_us=st.integers(0, 40 * 24 * HOUR_US),
        amount=st.integers(0, 200_000),
        billable=st.sampled_from([True, True, True, False]),
    )
    def use(self, attempt: str, resource: str, length_us: int, amount: int, billable: bool) -> None:
        stream = self.streams.setdefault((attempt, resource), Stream())
        start_us = stream.spans[-1].end_us if stream.spans else START_US
        span = Span(
            "compute",
            attempt,
            resource,
            len(stream.spans),
            ORG,
            "prj_a",
            "job_a",
            start_us,
            start_us + length_us,
            RATES[resource][0],
            amount,
            self.prices.id,
            billable=billable,
            why_not=None if billable else text("a test"),
        )
        self.store.write(lambda tx: append_span(tx, span))
        stream.spans.append(span)
        if billable:
            self.due.append((attempt, resource, span))

    @precondition(lambda self: any(stream.spans for stream in self.streams.values()))
    @rule(data=st.data(), what=st.sampled_from(["repeat", "skip", "gap", "change"]))
    def confuse(self, data: st.DataObject, what: str) -> None:
        known = sorted(key for key, stream in self.streams.items() if stream.spans)
        spans = self.streams[data.draw(st.sampled_from(known))].spans
        last = spans[-1]
        if what == "repeat":
            again = data.draw(st.sampled_from(spans))
            self.store.write(lambda tx: append_span(tx, again))
            return
        end_us = last.end_us
        wrong = {
            "skip": replace(last, sequence=last.sequence + 2, start_us=end_us, end_us=end_us + 1),
            "gap": replace(last, sequence=last.sequence + 1, start_us=end_us + 1, end_us=end_us + 2),
            "change": replace(last, amount=last.amount + 1),
        }[what]
        with pytest.raises(BugError):
            self.store.write(lambda tx: append_span(tx, wrong))

    @rule(limit=st.integers(1, 5))
    def post(self, limit: int) -> None:
        taken, self.due = self.due[:limit], self.due[limit:]
        assert post_due_spans(self.store, limit) == len(taken)
        self._bill(taken)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.holds)))
        taken = [item for item in self.due if item[0] == attempt]
        self.due = [item for item in self.due if item[0] != attempt]
        hold = self.holds[attempt]
        self._bill(taken)
        freed = self.store.write(lambda tx: settle_hold(tx, hold.id))
        assert freed == Money(hold.amount - hold.used)
        del self.holds[attempt]
        self.settled.add(attempt)

    @rule(attempt=st.sampled_from(ATTEMPTS))
    def refund(self, attempt: str) -> None:
        self.due = [item for item in self.due if item[0] != attempt]
        standing = sum(stream.standing for key, stream in self.streams.items() if key[0] == attempt)
        given = self.store.write(lambda tx: refund_attempt(tx, attempt, text("a test")))
        assert given == Money(standing)
        self.billed -= standing
        for key, stream in self.streams.items():
            if key[0] == attempt:
                stream.standing = 0

    def _bill(self, taken: list[tuple[str, str, Span]]) -> None:
        for attempt, resource, span in taken:
            stream = self.streams[attempt, resource]
            _, price, per_unit = RATES[resource]
            before = round(stream.exact)
            stream.exact += Fraction(
                span.amount * (span.end_us - span.start_us) * price.micro, per_unit * price.per
            )
            amount = round(stream.exact) - before
            stream.standing += amount
            self.billed += amount
            hold = self.holds.get(attempt)
            if hold is not None:
                hold.used += min(amount, hold.amount - hold.used)

    @invariant()
    def the_balance_is_what_the_accountant_says(self) -> None:
        has = self.store.read(lambda tx: read_balance(tx, ORG))
        assert has.balance == Money(self.paid - self.billed)
        assert has.available == Money(self.available)

    @invariant()
    def the_proof_holds(self) -> None:
        report = self.store.read(prove)
        assert report.is_right, f"{report.row}: {report.problem}"


TestBooks = Books.TestCase
TestBooks.settings = lives(25, steps=30)
