"""An accepted quote beside what its job really took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict
from pearlstreet.base.money import MICRO, Money
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.execution.metering import AttemptUsage, work_s
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import ENDED, JobState, JobView
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import job_view
from pearlstreet.ledger.statement import cost_of
from pearlstreet.quotes.calibrating import is_mostly_overhead, is_too_fast, taken_device_s
from pearlstreet.quotes.footprint import Taken, taken_energy
from pearlstreet.quotes.model import Offer, Quote
from pearlstreet.quotes.service import TEACHING, find_quote, quote_of
from pearlstreet.quotes.tables import lessons
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

WAIT, ELAPSED, DEVICE, PRICE = "wait_s", "elapsed_s", "device_s", "price_yuan"
IT, FACILITY, CARBON = "it_kwh", "facility_kwh", "carbon_kg"
SIMULATED = "simulated"
"""Isolation that attempts on the simulated engine report."""
MEASURES = (WAIT, ELAPSED, DEVICE, PRICE, IT, FACILITY, CARBON)


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure, quoted and actual."""

    measure: str
    """Name from MEASURES; its ending names the unit."""
    quoted: Band | None
    actual: float | None
    """Actual value, up to now while the job runs; None: not known."""
    is_final: bool = True
    """Whether the actual value is final; only then is it compared."""

    @property
    def error(self) -> float | None:
        """Return actual over quoted median, minus one; None if a value is missing or the job still runs."""
        if not self.is_final or self.quoted is None or self.actual is None or self.quoted.median <= 0:
            return None
        return self.actual / self.quoted.median - 1.0

    @property
    def inside(self) -> bool | None:
        """Return whether the actual value lies in the quoted range; None while the job runs."""
        if not self.is_final or self.quoted is None or self.actual is None:
            return None
        # Rounded or stepwise metered values may miss a range of no width slightly.
        slack = 1e-6 * max(abs(self.quoted.p90), 1.0)
        return self.quoted.p10 - slack <= self.actual <= self.quoted.p90 + slack


@dataclass(frozen=True, slots=True)
class Comparison:
    """A quote, the accepted offer and its job, measure by measure."""

    quote: Quote
    offer: Offer
    job: JobView
    rows: tuple[Compared, ...]
    is_over: bool
    """Whether the job has ended, so that the figures are final."""
    attempts: int
    taught: bool
    """Whether the run calibrates estimates."""
    notes: tuple[Text, ...]


def compare_quote(store: Store, actor: Actor, quote_id: str) -> Comparison:
    """Return quoted beside actual figures. Raises NotFound, Conflict for a quote that was not accepted."""
    return store.read(lambda tx: _compare(tx, actor, quote_id))


def _compare(tx: Tx, actor: Actor, quote_id: str) -> Comparison:
    quote = quote_of(find_quote(tx, actor, quote_id), tx.now_us)
    if quote.accepted is None or quote.job_id is None:
        raise Conflict(
            text("Quote {quote} was not accepted: there is nothing to compare with", quote=quote.id),
            hint=text("Accept an offer: pearl quote accept {quote} OFFER", quote=quote.id),
        )
    offer = next(one for one in quote.offers if one.id == quote.accepted)
    row = tx.first(sa.select(jobs).where(jobs.c.id == quote.job_id))
    if row is None:
        raise Conflict(text("Job {job} is not kept any more", job=quote.job_id))
    tried = tx.rows(sa.select(attempts).where(attempts.c.owner_id == row["id"]).order_by(attempts.c.number))
    job, is_over = job_view(row), JobState(row["state"]) in ENDED
    taught = tx.scalar(
        sa.select(sa.func.count())
        .select_from(lessons)
        .where(lessons.c.subject == row["id"], lessons.c.forgotten_us.is_(None))
    )
    ran = any(one["started_us"] is not None for one in tried)
    took = taken_energy(tx, row["id"]) if ran else None
    rows = tuple(
        Compared(name, *pair, is_final=is_over or name == WAIT)
        for name, pair in _pairs(tx, quote, offer, row, tried, took).items()
    )
    notes = (*_notes(job, tried, is_over), *_untaught(tx, quote, offer), *_pretended(quote, row, tried, tx))
    return Comparison(quote, offer, job, rows, is_over, len(tried), bool(taught), notes)


def _pairs(
    tx: Tx, quote: Quote, offer: Offer, row: Row, tried: Sequence[Row], took: Taken | None
) -> dict[str, tuple[Band | None, float | None]]:
    """Return (quoted, actual) by measure, in the center's own time."""
    runs = [one for one in tried if one["started_us"] is not None]
    elapsed_s = work_s(runs[-1], runs[-1]["ended_us"] or tx.now_us) if runs else None
    pace = _pace(tried)
    wait_s = (runs[0]["started_us"] - row["submitted_us"]) / US_PER_S * pace if runs else None
    spent = _spent(tx, row).micro / MICRO * pace
    price, energy = offer.price, offer.energy
    priced = None
    if price is not None:
        priced = Band(price.p10.micro / MICRO, price.median.micro / MICRO, price.p90.micro / MICRO)
    return {
        WAIT: (_wait(quote, offer), wait_s),
        ELAPSED: (offer.elapsed_s, elapsed_s),
        DEVICE: (offer.device_s, None if elapsed_s is None else elapsed_s * offer.count),
        PRICE: (priced, spent if runs else None),
        IT: (energy.it_kwh if energy else None, _times(took.it_kwh if took else None, pace)),
        FACILITY: (
            energy.facility_kwh if energy else None,
            _times(took.facility_kwh if took else None, pace),
        ),
        CARBON: (energy.carbon_kg if energy else None, _times(took.carbon_kg if took else None, pace)),
    }


def _times(value: float | None, pace: float) -> float | None:
    return None if value is None else value * pace


def _spent(tx: Tx, job: Row) -> Money:
    return Money(sum(line.amount.micro for line in cost_of(tx, job["org_id"], job["id"])))


def _pace(tried: Sequence[Row]) -> float:
    """Return the speed of the work's time relative to the clock: above 1 on a simulated engine only."""
    return AttemptUsage(**tried[-1]["usage"]).pace if tried else 1.0


def _wait(quote: Quote, offer: Offer) -> Band | None:
    start = offer.start
    if start is None or start.earliest_us is None or start.likely_us is None or start.latest_us is None:
        return None
    found = (start.earliest_us, start.likely_us, start.latest_us)
    early, likely, late = (max(0.0, (at_us - quote.created_us) / US_PER_S) for at_us in found)
    return Band(early, likely, late).times(start.pace)


def _notes(job: JobView, tried: Sequence[Row], is_over: bool) -> tuple[Text, ...]:
    """Return notes on what limits the comparison."""
    found = []
    if not is_over:
        found.append(text("The job has not ended: figures are as of now"))
    elif job.state is not JobState.SUCCEEDED:
        found.append(text("The job did not succeed, so it teaches nothing"))
    elif len(tried) > 1:
        found.append(
            text(
                "It took {count} attempts; times are the last one's, so it teaches nothing", count=len(tried)
            )
        )
    return tuple(found)


def _untaught(tx: Tx, quote: Quote, offer: Offer) -> tuple[Text, ...]:
    """Return why a successful run does not calibrate estimates."""
    if quote.job_id is None or quote.question.workload.kind not in TEACHING:
        return ()
    took_s = taken_device_s(tx, quote.job_id, offer)
    if took_s is None:
        return ()
    if is_mostly_overhead(offer):
        return (text("Start-up is more than half of so short a run, so it teaches nothing"),)
    if not is_too_fast(offer, took_s):
        return ()
    return (text("It was faster than this work can be: it did something else, and teaches nothing"),)


def _pretended(quote: Quote, job: Row, tried: Sequence[Row], tx: Tx) -> tuple[Text, ...]:
    """Return notes on a run of the simulated engine."""
    if not tried or tried[-1]["wall"] != SIMULATED:
        return ()
    found, pace = [], _pace(tried)
    if "simulate" not in (quote.question.draft or {}):
        found.append(text("Simulated: how long it seems to run was drawn from the quoted range"))
    if pace != 1.0:
        found.append(
            text(
                "Simulated {pace} times as fast as the clock: all figures are as at the clock's pace;"
                " ¥{spent} was billed",
                pace=f"{pace:g}",
                spent=str(_spent(tx, job)),
            )
        )
    return tuple(found)
