"""A life of the books: random work, money and mistakes, with the power cut at any statement, checked against a naive accountant.

Spans go over a wire that repeats, reorders and delays them; whatever was cut off or whose answer was lost is done
again, as the loops and clients of a center do.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import BugError, Conflict, PaymentRequired
from pearlstreet.base.money import Money
from pearlstreet.base.rng import SeededRng
from pearlstreet.base.text import text
from pearlstreet.ledger import prices as price_lists
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.funds import read_balance, set_credit_limit
from pearlstreet.ledger.holds import extend_hold, place_hold, settle_hold
from pearlstreet.ledger.invoices.service import issue_invoice
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.pricing import PriceRule
from pearlstreet.ledger.spans import append_span, refund_attempt
from pearlstreet.ledger.tables import spending
from pearlstreet.ledger.topups import correct, top_up
from pearlstreet.store.core import Replayed, Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.idempotency import OnceClaim
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.tables import orgs
from tests.scale.accountant import Accountant, Rates, months

START_US = 1_793_400_000_000_000
ORGS = 24
LIFE_S = 120 * 86_400
OPS_A_STEP = 5
LIVE = 160
"""Attempts that run at a time."""
WIRE = 300
"""Spans that are on their way at most."""
UNITS = {
    "cpu": Unit.CPU_MILLI,
    "memory": Unit.MEMORY_MIB,
    "storage": Unit.STORAGE_BYTES,
    "accelerator/t4": Unit.CARD_BP,
    "accelerator/h100-sxm-80g": Unit.CARD_BP,
}
AMOUNTS = {
    Unit.CPU_MILLI: (1, 8_000),
    Unit.MEMORY_MIB: (1, 64_000),
    Unit.STORAGE_BYTES: (1, 2**38),
    Unit.CARD_BP: (1, 10_000),
}


class PowerCut(BaseException):
    """The process ends here: nothing of what was not committed is left."""


@dataclass
class Stream:
    """One resource of a running attempt, as its meter knows it."""

    sequence: int = 0
    end_us: int = 0


@dataclass
class Attempt:
    """Work that uses things."""

    id: str
    org_id: str
    project_id: str
    price_version_id: str
    streams: dict[str, Stream]
    hold_id: str | None = None


@dataclass
class Step:
    """One transaction or command: how it is done, what its answer must be, and for how many operations it counts."""

    kind: str
    count: int
    perform: Callable[[Store], Any]
    account: Callable[[Any], None]


@dataclass
class LedgerWorld:
    """Books at `url` and whoever uses them."""

    url: str
    seed: int = 1
    operations: int = 3000
    """How many are meant: time passes so fast that a great many take some four months."""
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.rng = SeededRng(self.seed)
        self.clock = VirtualClock(START_US)
        self.accountant = Accountant()
        self.wire: deque[Span] = deque()
        self.attempts: list[Attempt] = []
        self.made = 0
        self.months_over: deque[tuple[str, str]] = deque()
        self.month = ""
        self._cut_in: int | None = None
        self._pace_s = 2 * OPS_A_STEP * min(LIFE_S / self.operations, 100)
        self.store = self._open()
        metadata.create_all(self.store.database.engine)
        self.store.write(self._open_books)
        self._publish()
        for number in range(ORGS):
            self._run(self._top_up(f"org_{number:02d}", 9 * 10**9))

    def live(self, operations: int) -> None:
        """Go on until `operations` are done in all."""
        while self.done < operations:
            self._run(self._next())

    def finish(self) -> None:
        """Deliver what is on the wire, settle everything, post the rest."""
        while self.wire:
            self._run(self._delivery(64))
        for attempt in self.attempts:
            if attempt.hold_id is not None:
                self._run(self._settle(attempt))
        self.attempts = []
        while self.accountant.due:
            self._run(self._post(5000))
        self.check()

    def check(self) -> None:
        """Balances, what is held, and monthly spending are what the accountant says."""
        has = self.store.read(
            lambda tx: {f"org_{n:02d}": read_balance(tx, f"org_{n:02d}") for n in range(ORGS)}
        )
        for org_id, balance in has.items():
            said = (self.accountant.balance[org_id], self.accountant.held[org_id])
            assert (balance.balance.micro, balance.held.micro) == said, (org_id, balance, said)
        kept = {
            (row["subject_id"], row["month"]): row["spent_micro"]
            for row in self.store.read(lambda tx: tx.rows(sa.select(spending)))
        }
        said_spent = {
            key: amount for key, amount in self.accountant.spending.items() if amount or key in kept
        }
        assert {key: amount for key, amount in kept.items() if amount or key in said_spent} == said_spent

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    # How it is done: with the power cut at some statement, or after the commit and before the answer.

    def _run(self, step: Step) -> None:
        self.done += step.count
        self.counts[step.kind] += step.count
        while True:
            self._cut_in = self.random.randint(1, 60) if self.random.random() < 0.15 else None
            try:
                answer = step.perform(self.store)
            except PowerCut:
                self.counts["cut off"] += 1
                self._come_back()
                continue
            finally:
                self._cut_in = None
            step.account(answer)
            if self.random.random() >= 0.02:
                break
            self.counts["answer lost"] += 1
            self._come_back()
        self.clock.advance(self.random.random() * self._pace_s)

    def _come_back(self) -> None:
        """A new process knows nothing but the database; most of the time it is the same process that tries again."""
        if self.random.random() < 0.2:
            self.counts["started again"] += 1
            self.store.close()
            self.store = self._open()

    def _open(self) -> Store:
        database = Database(self.url, inline=True)
        sa.event.listen(database.engine, "before_cursor_execute", self._before_statement)
        return Store(database, clock=self.clock, rng=self.rng)

    def _before_statement(self, *_ignored: Any) -> None:
        if self._cut_in is None:
            return
        self._cut_in -= 1
        if self._cut_in == 0:
            self._cut_in = None
            raise PowerCut

    def _open_books(self, tx: Tx) -> None:
        for number in range(ORGS):
            org_id = f"org_{number:02d}"
            row = {"id": org_id, "slug": org_id, "name": org_id, "state": "active", "settings": {}}
            tx.execute(sa.insert(orgs).values(**row, created_us=0))
        price_lists.ensure_default_prices(tx)

    # What happens.

    def _next(self) -> Step:
        """Whatever comes next, as often as in a center: mostly use."""
        if self.months_over and self.random.random() < 0.05:
            return self._issue(*self.months_over.popleft())
        self._note_month()
        if not self.attempts or self.random.random() < (0.3 if len(self.attempts) < LIVE else 0.02):
            return self._start()
        for share, make in self._kinds():
            if self.random.random() < share:
                return make()
        if len(self.wire) < WIRE:
            self._measure()
        return self._delivery(self.random.choice((1, 4, 8, 16)))

    def _kinds(self) -> Iterator[tuple[float, Callable[[], Step]]]:
        some = self.random.choice(self.attempts)
        org_id = f"org_{self.random.randrange(ORGS):02d}"
        yield 0.03, lambda: self._post(self.random.choice((1, 50, 500, 5000)))
        yield 0.06, lambda: self._extend(some)
        yield 0.03, lambda: self._settle(some, ends=True)
        yield 0.01, lambda: self._refund(some)
        yield 0.04, lambda: self._top_up(org_id, self.random.randint(1, 5 * 10**9))
        yield 0.01, lambda: self._correct(org_id)
        yield 0.005, lambda: self._limit(org_id)
        yield 0.003, lambda: self._budget(org_id)
        yield 0.002, self._publish_step

    def _measure(self) -> None:
        """Meters put stretches of use on the wire; some are sent twice, some take their time."""
        now_us = self.clock.now_us()
        for attempt in self.random.sample(self.attempts, min(8, len(self.attempts))):
            for resource, stream in attempt.streams.items():
                if stream.end_us < now_us:
                    self._send(self._span(attempt, resource, stream, now_us))

    def _send(self, span: Span) -> None:
        self.wire.append(span)
        if self.random.random() < 0.1:
            self.wire.append(span)

    def _span(self, attempt: Attempt, resource: str, stream: Stream, end_us: int) -> Span:
        unit = UNITS[resource]
        billable = self.random.random() < 0.95
        span = Span(
            source="compute",
            external_id=attempt.id,
            resource=resource,
            sequence=stream.sequence,
            org_id=attempt.org_id,
            project_id=attempt.project_id,
            reference=f"job_{attempt.id}",
            start_us=stream.end_us,
            end_us=end_us,
            unit=unit,
            amount=self.random.randint(*AMOUNTS[unit]),
            price_version_id=attempt.price_version_id,
            pflops=self.random.choice((None, 0.989, 0.0652)) if unit is Unit.CARD_BP else None,
            billable=billable,
            why_not=None if billable else text("maintenance"),
        )
        stream.sequence += 1
        stream.end_us = end_us
        return span

    def _delivery(self, most: int) -> Step:
        """What the wire hands over next, in whatever order, in one transaction."""
        taken = [self.wire.popleft() for _ in range(min(most, len(self.wire)))]
        if self.random.random() < 0.3:
            self.random.shuffle(taken)
        if taken and self.random.random() < 0.1:
            self.wire.append(taken.pop())  # delayed: what comes after it is refused until it is there

        def command(tx: Tx) -> list[bool]:
            return [_accepted(tx, span) for span in taken]

        def account(answers: list[bool]) -> None:
            self.wire.extend(
                span for span, accepted in zip(taken, answers, strict=True) if self._told(span, accepted)
            )

        return Step("spans", len(taken), lambda store: store.write(command), account)

    def _told(self, span: Span, accepted: bool) -> bool:
        """Check one answer; whether the span has to be sent again."""
        said = self.accountant.deliver(span)
        assert accepted == (said != "refused"), (span, said)
        self.counts[f"spans {said}"] += 1
        return said == "refused"

    def _start(self) -> Step:
        self.made += 1
        org = self.random.randrange(ORGS)
        resources = self.random.sample(sorted(UNITS), self.random.randint(1, 3))
        attempt = Attempt(
            f"att_{self.made}",
            f"org_{org:02d}",
            f"prj_{org:02d}_{self.random.randrange(3)}",
            self.price_version_id,
            {name: Stream(end_us=self.clock.now_us()) for name in resources},
        )
        amount = self.random.randint(0, 10**8)

        def account(hold_id: str | None) -> None:
            assert self.accountant.hold(attempt.id, attempt.org_id, amount, hold_id), attempt
            if hold_id is not None and attempt.hold_id is None:
                attempt.hold_id = hold_id
                self.attempts.append(attempt)

        return Step(
            "holds",
            1,
            lambda store: store.write(lambda tx: _hold(tx, attempt.org_id, amount, attempt.id)),
            account,
        )

    def _extend(self, attempt: Attempt) -> Step:
        to_amount = self.random.randint(0, 3 * 10**8)

        def account(grown: bool) -> None:
            assert grown == self.accountant.extend(attempt.id, to_amount), attempt

        return Step(
            "extensions",
            1,
            lambda store: store.write(lambda tx: extend_hold(tx, str(attempt.hold_id), Money(to_amount))),
            account,
        )

    def _settle(self, attempt: Attempt, *, ends: bool = False) -> Step:
        if ends:
            self.attempts.remove(attempt)

        def account(freed: Money) -> None:
            assert freed.micro == self.accountant.settle(attempt.id), attempt

        return Step(
            "settlements",
            1,
            lambda store: store.write(lambda tx: settle_hold(tx, str(attempt.hold_id))),
            account,
        )

    def _refund(self, attempt: Attempt) -> Step:
        def account(given: Money) -> None:
            assert given.micro == self.accountant.refund(attempt.id), attempt

        return Step(
            "refunds",
            1,
            lambda store: store.write(lambda tx: refund_attempt(tx, attempt.id, text("The node failed"))),
            account,
        )

    def _post(self, limit: int) -> Step:
        def account(posted: int) -> None:
            assert posted == self.accountant.post(limit)

        return Step("postings", 1, lambda store: post_due_spans(store, limit), account)

    def _top_up(self, org_id: str, amount: int) -> Step:
        claim = OnceClaim("scale", f"top-up {self.random.getrandbits(64)}", "same", lambda made: b"done")
        paid = False
        promotion = self.random.random() < 0.2

        def perform(store: Store) -> None:
            with contextlib.suppress(Replayed):
                top_up(store.once(claim), SYSTEM, org_id, Money(amount), promotion=promotion)

        def account(_answer: None) -> None:
            nonlocal paid
            if not paid:
                paid = True
                self.accountant.balance[org_id] += amount

        return Step("top-ups", 1, perform, account)

    def _correct(self, org_id: str) -> Step:
        amount = self.random.choice((1, -1)) * self.random.randint(1, 10**7)
        reference = f"fix {self.random.getrandbits(64)}"
        made: list[str] = []

        def account(tx_id: str) -> None:
            if not made:
                self.accountant.balance[org_id] += amount
                made.append(tx_id)
            assert made == [tx_id]

        return Step(
            "corrections",
            1,
            lambda store: correct(store, SYSTEM, org_id, Money(amount), memo="a test", reference=reference),
            account,
        )

    def _limit(self, org_id: str) -> Step:
        limit = self.random.randint(0, 10**8)

        def account(_answer: Any) -> None:
            self.accountant.limit[org_id] = limit

        return Step(
            "credit limits", 1, lambda store: set_credit_limit(store, SYSTEM, org_id, Money(limit)), account
        )

    def _budget(self, org_id: str) -> Step:
        subject = self.random.choice((org_id, f"prj_{org_id[-2:]}_{self.random.randrange(3)}"))
        budget = Budget(subject, org_id, Money(self.random.randint(1, 10**9)))
        return Step("budgets", 1, lambda store: set_budget(store, SYSTEM, budget), lambda _answer: None)

    def _publish_step(self) -> Step:
        return Step("price lists", 1, lambda _store: self._publish(), lambda _answer: None)

    def _publish(self) -> None:
        """New prices that never come out even; what runs keeps its own."""

        def rule(resource: str, kind: str, micro: int) -> PriceRule:
            return PriceRule(
                resource, kind, micro + self.random.randrange(10_000), self.random.choice((1, 3, 7, 11))
            )

        rules = [
            rule("accelerator/*", "pflops_hour", 25_000_000),
            rule("accelerator/*", "card_hour", 5_000_000),
            rule("accelerator/t4", "card_hour", 2_000_000),
            rule("cpu", "core_hour", 120_000),
            rule("memory", "gib_hour", 20_000),
            rule("storage", "gib_month", 600_000),
        ]
        made = price_lists.publish_prices(self.store, SYSTEM, rules)
        rates: Rates = {(rule.resource, rule.kind): (rule.micro, rule.per) for rule in rules}
        self.accountant.rates[made.id] = rates
        self.price_version_id = made.id

    def _note_month(self) -> None:
        """When a month is over, its invoices are to be written."""
        now_us = self.clock.now_us()
        month = months(now_us, now_us)[0][0]
        if self.month and month != self.month:
            self.months_over.extend((f"org_{number:02d}", self.month) for number in range(ORGS))
            self.clock.advance(1)
        self.month = month

    def _issue(self, org_id: str, month: str) -> Step:
        def perform(store: Store) -> str | None:
            try:
                return issue_invoice(store, SYSTEM, org_id, month, energy=None).number
            except Conflict:
                return None

        numbers: list[str | None] = []

        def account(number: str | None) -> None:
            # Issuing posts what is due of the organisation first.
            mine = [item for item, span in self.accountant.due.items() if span.org_id == org_id]
            if number is not None and not numbers:
                for item in mine:
                    self.accountant.bill(item)
            numbers.append(number)
            assert len(set(numbers)) == 1, "an invoice is issued once"

        return Step("invoices", 1, perform, account)


def _accepted(tx: Tx, span: Span) -> bool:
    try:
        append_span(tx, span)
    except BugError:
        return False
    return True


def _hold(tx: Tx, org_id: str, amount: int, attempt: str) -> str | None:
    try:
        return place_hold(tx, org_id, Money(amount), attempt)
    except PaymentRequired:
        return None
