"""PURE: turn estimates, prices, site facts and expected starts into a few Pareto-optimal offers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, plural, text
from pearlstreet.base.units import HOUR_S
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.overhead import NO_OVERHEAD
from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.jobs.resource_request import ask_of
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.ledger.pricing import PriceVersion, hourly_rate
from pearlstreet.quotes.candidates import Candidate
from pearlstreet.quotes.estimating import Unfit, Work
from pearlstreet.quotes.model import (
    CHEAPEST,
    FASTEST,
    GREENEST,
    SOONEST,
    Energy,
    GreenStart,
    Kind,
    Offer,
    Price,
    PriceLine,
    Served,
    Start,
    Workload,
)
from pearlstreet.quotes.offer_spec import LONGEST_LIMIT_S, Draft, complete, per_task_of, time_limit_s
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.write import to_json

MOST = 6
"""Largest number of offers of a quote."""
MOST_PLANNED = 12
"""Number of candidates for which the planner estimates the start; each costs as much as a planning cycle."""
PLAN_FOR = JobSpec(command=("true",))
"""Job specification that is used for prices and starts when the question has no draft."""

Footprint = Callable[[Band, int, Band], Energy]
"""Function of IT energy, likely start (µs) and run time by the clock that returns facility energy and carbon."""
Greenest = Callable[[Energy, int, Band, int | None], GreenStart | None]
"""Function of energy, expected start (µs), run time by the clock and deadline (µs) that returns a clearly greener start."""
StartOf = Callable[[JobSpec, Band], Start | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """Inputs that turn an estimate into an offer."""

    workload: Workload
    draft: Draft | None
    prices: PriceVersion
    footprint: Footprint
    greenest: Greenest
    start_of: StartOf
    now_us: int
    pace: float = 1.0
    """Speed of the center's jobs relative to real time; energy is drawn at real hours."""

    def by_clock_s(self, elapsed_s: Band) -> Band:
        """Return the run time by the clock."""
        return elapsed_s.times(1 / self.pace)


def make_offers(found: Sequence[tuple[Candidate, Work]], terms: Terms) -> tuple[Offer, ...]:
    """Return at most `MOST` Pareto-optimal offers, fastest first."""
    specs: dict[str, JobSpec] = {}
    drafts = [_offer(str(at), candidate, work, terms, specs) for at, (candidate, work) in enumerate(found)]
    short = _thinned(front(_short_enough(drafts)), MOST_PLANNED)
    started = [_with_start(offer, specs[offer.id], terms) if offer.id in specs else offer for offer in short]
    kept = _thinned(front(started), MOST)
    return named(
        [_with_greenest(offer, specs[offer.id], terms) if offer.id in specs else offer for offer in kept]
    )


def _short_enough(offers: Sequence[Offer]) -> Sequence[Offer]:
    """Leave out offers longer than a job may run, unless all are; hypothetical hardware is not restricted."""
    kept = [offer for offer in offers if offer.time_limit_s <= LONGEST_LIMIT_S or not offer.owned]
    return kept or offers


def _offer(at: str, candidate: Candidate, work: Work, terms: Terms, specs: dict[str, JobSpec]) -> Offer:
    """Return one candidate as an offer; its job specification, if complete, is put into `specs`."""
    draft = terms.draft or Draft(PLAN_FOR, {}, None, None)
    serve = terms.workload.kind is Kind.SERVE
    limit_s = time_limit_s(work.elapsed_s, exact=serve)
    warnings = list(work.warnings)
    made = complete(draft, candidate, limit_s, work.layout)
    if isinstance(made, JobSpec) and candidate.owned:
        specs[at] = made
    elif isinstance(made, Text) and candidate.owned:
        warnings.append(made)
    whole = specs.get(at) if terms.draft is not None else None
    price = price_of(candidate, draft, work.elapsed_s, terms.prices) if candidate.owned else None
    assumed = list(work.assumed)
    if not serve and isinstance(made, JobSpec):
        assumed.append(text("Time limit: the slower end of the time and a quarter more"))
    if terms.pace != 1.0:
        assumed.append(
            text(
                "Simulated {pace} times as fast as the clock: by it the work is over so much sooner than its time says;"
                " expected starts reckon with that",
                pace=f"{terms.pace:g}",
            )
        )
    return Offer(
        id=at,
        names=(),
        accelerator=candidate.model,
        tasks=candidate.tasks,
        per_task=candidate.per_task,
        owned=candidate.owned,
        elapsed_s=work.elapsed_s,
        device_s=work.device_s,
        price=price,
        energy=terms.footprint(work.it_kwh, terms.now_us, terms.by_clock_s(work.elapsed_s)),
        start=None,
        layout=work.layout,
        memory_gib=work.memory_gib,
        device_memory_gib=work.device_memory_gib,
        served=_served(terms.workload, work, price),
        utilisation=work.utilisation,
        assumed=tuple(assumed),
        warnings=tuple(warnings),
        time_limit_s=limit_s,
        spec=to_json(whole) if whole is not None else None,
        untaught_device_s=work.untaught_device_s,
        engines=candidate.engines,
        overhead_s=None if work.overhead is NO_OVERHEAD else work.overhead.total_s,
    )


def price_of(candidate: Candidate, draft: Draft | None, elapsed_s: Band, prices: PriceVersion) -> Price:
    """Return the price of a run from the resources it holds and its run time."""
    ask = ask_of(replace(PLAN_FOR, tasks=candidate.tasks, per_task=per_task_of(draft, candidate)))
    held = AttemptUsage(
        model=candidate.model,
        card_bp=candidate.count * FULL_BP,
        cpu_milli=ask.cpu_milli * ask.tasks,
        memory_mib=ask.memory_mib * ask.tasks,
        pflops_per_card=candidate.pflops,
        pflops_basis="",
    )
    rates = [(demand.resource, hourly_rate(prices, [demand])) for demand in held.demands()]
    hourly = hourly_rate(prices, held.demands())
    return Price(
        _for(hourly, elapsed_s.p10),
        _for(hourly, elapsed_s.median),
        _for(hourly, elapsed_s.p90),
        hourly,
        tuple(PriceLine(resource, _for(rate, elapsed_s.median)) for resource, rate in rates),
    )


def _for(hourly: Money, seconds: float) -> Money:
    return Money(round(hourly.micro * seconds / HOUR_S))


def _served(workload: Workload, work: Work, price: Price | None) -> Served | None:
    found = work.serving
    if found is None:
        return None
    carried = found.output_tokens_per_s.median
    if workload.kind is Kind.SERVE and workload.requests_per_s is not None:
        carried = min(carried, workload.requests_per_s * workload.output_tokens)
    each = None if price is None else Money(round(price.hourly.micro / (carried * HOUR_S) * 1e6))
    return Served(found.output_tokens_per_s, found.requests_per_s, found.ttft_s, found.tpot_s, carried, each)


def _with_start(offer: Offer, spec: JobSpec, terms: Terms) -> Offer:
    """Return the offer with its expected start and its energy at that time."""
    start, energy = terms.start_of(spec, offer.elapsed_s), offer.energy
    if start is not None and start.likely_us is not None and energy is not None:
        energy = terms.footprint(energy.it_kwh, start.likely_us, terms.by_clock_s(offer.elapsed_s))
    return replace(offer, start=start, energy=energy)


def _with_greenest(offer: Offer, spec: JobSpec, terms: Terms) -> Offer:
    """Return the offer with a start of clearly lower emissions, if there is one."""
    start, energy = offer.start, offer.energy
    if start is None or start.likely_us is None or energy is None:
        return offer
    by_clock_s = terms.by_clock_s(offer.elapsed_s)
    greenest = terms.greenest(energy, start.likely_us, by_clock_s, spec.deadline_us)
    return replace(offer, energy=replace(energy, greenest=greenest))


def _measures(offer: Offer) -> tuple[float | None, ...]:
    """Return the objectives of an offer, lower is better: run time, end, price, carbon or energy, hourly price.

    The hourly price keeps small offers: an hour must be payable, and quota may be needed for other work. Serving for a
    fixed time is measured by the time of one answer and by price and carbon per token.
    """
    time, served, each = offer.elapsed_s.median, offer.served, 1.0
    start, end = offer.start, None
    if start is not None and start.likely_us is not None:
        end = start.likely_us / 1e6 + time / start.pace
    if served is not None and offer.elapsed_s.p10 == offer.elapsed_s.p90:
        time, each = served.ttft_s.median + served.tpot_s.median, served.carried_tokens_per_s
    price = None if offer.price is None else offer.price.median.micro / each
    green = _green(offer)
    hourly = None if offer.price is None else float(offer.price.hourly.micro)
    return time, end, price, None if green is None else green / each, hourly


def _green(offer: Offer) -> float | None:
    if offer.energy is None:
        return None
    return (offer.energy.carbon_kg or offer.energy.it_kwh).median


def beats(one: Offer, other: Offer) -> bool:
    """Return whether `one` dominates `other`: at least as good in every objective and better in one.

    Unknown objectives are not comparable. Hypothetical hardware was asked for by name, so all of it is kept.
    """
    if not (one.owned and other.owned):
        return False
    pairs = list(zip(_measures(one), _measures(other), strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return all(a <= b for a, b in known) and any(a < b for a, b in known)


def _same(one: Offer, other: Offer) -> bool:
    return _measures(one) == _measures(other)


def front(offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers that no other dominates, fastest first; of equal ones the first."""
    kept: list[Offer] = []
    for at, offer in enumerate(offers):
        if any(beats(other, offer) for other in offers):
            continue
        if offer.owned and any(other.owned and _same(other, offer) for other in offers[:at]):
            continue
        kept.append(offer)
    return sorted(kept, key=lambda offer: (offer.elapsed_s.median, offer.count))


def _best(offers: Sequence[Offer]) -> dict[str, int]:
    """Return the index of the best offer by name; ties go to the offer that is better in the other objectives."""
    rows = [_measures(offer) for offer in offers]
    found: dict[str, int] = {}
    for name, column in ((FASTEST, 0), (SOONEST, 1), (CHEAPEST, 2), (GREENEST, 3)):
        known = [at for at, row in enumerate(rows) if row[column] is not None]
        if name is GREENEST:
            known = [at for at in known if _has_facts(offers[at])]
        if known:
            found[name] = min(
                known, key=lambda at: (rows[at][column], *(value or math.inf for value in rows[at]))
            )
    return found


def _has_facts(offer: Offer) -> bool:
    return offer.energy is not None and offer.energy.carbon_kg is not None


def _thinned(offers: Sequence[Offer], most: int) -> list[Offer]:
    """Return at most `most` offers: the best by each name, then repeatedly the one whose run time is farthest from those chosen."""
    if len(offers) <= most:
        return list(offers)
    chosen = set(_best(offers).values())
    times = [math.log(max(offer.elapsed_s.median, 1e-9)) for offer in offers]
    while len(chosen) < most:
        left = [at for at in range(len(offers)) if at not in chosen]
        chosen.add(
            max(left, key=lambda at: (min((abs(times[at] - times[c]) for c in chosen), default=0.0), -at))
        )
    return [offers[at] for at in sorted(chosen)]


def named(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Number the offers and add what each is best at."""
    best = _best(offers)
    return tuple(
        replace(
            offer, id=str(at + 1), names=tuple(name for name, which in sorted(best.items()) if which == at)
        )
        for at, offer in enumerate(offers)
    )


def refuse_nothing(
    unfit: Sequence[tuple[Candidate, Unfit]],
    tried: int,
    barred: int,
    *,
    any_there: bool = True,
    engines: Sequence[str] = (),
) -> InvalidInput:
    """Return the error for a quote without offers: the nearest miss and what would help. `engines`: those that alone count."""
    if not tried and not barred:
        message = text("The center has no accelerator that could be offered")
        if any_there and engines:
            names = ", ".join(engines)
            message = text(
                "The job can run on engines {engines} only, which have no accelerator that could be offered",
                engines=names,
            )
        problem = Problem("wanted", message, hint=_none_hint(any_there))
        return InvalidInput(message, problems=[problem])
    if not unfit:
        message = plural(
            "Your quotas do not allow the only way to run it",
            "Your quotas allow none of the {count} ways to run it",
            count=barred,
        )
        return InvalidInput(message, hint=text("Ask the center's operator for a larger quota"))
    nearest = min(unfit, key=lambda item: item[1].shortfall)
    message = plural(
        "The only way to run it does not work: {why}",
        "None of the {count} ways to run it works: {why}",
        count=tried,
        why=nearest[1].why,
    )
    hint = text("A smaller model or batch, lower precision or more accelerators may fit")
    return InvalidInput(message, hint=hint, problems=[Problem("workload", nearest[1].why, hint=hint)])


def _none_hint(any_there: bool) -> Text:
    if any_there:
        return text("Ask for other accelerators, or another number")
    return text("None of its nodes has one at work; to plan with, name hardware: hypothetical 1x8xH100-80G")
