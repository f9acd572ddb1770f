"""Routes of quotes: offers for a workload, accepted unchanged, and later compared with the actual run."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, Yuan, time_of, words, yuan_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import Org, language_of, org_of
from pearlstreet.api.routes.jobs import JobOut, job_out
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model
from pearlstreet.quotes import scenarios
from pearlstreet.quotes.comparing import Comparison
from pearlstreet.quotes.model import (
    Energy,
    GreenStart,
    Kind,
    Offer,
    Price,
    Question,
    Quote,
    Served,
    Start,
    State,
    Wanted,
    Workload,
)
from pearlstreet.quotes.scenarios import Changes, Rule, Scenario
from pearlstreet.quotes.serialization import workload_json
from pearlstreet.quotes.service import Accepted
from pearlstreet.services.quotes import QuotesService
from pearlstreet.tenancy.model import Actor, login_of

router = SecuredRouter("/quotes", "quotes")
Word = Annotated[str, Field(max_length=120)]
Some = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]


class ModelIn(In):
    """Known properties of the model. `params` is the number of parameters, not billions."""

    name: Word = Field("", examples=["Llama 3.1 8B"])
    family: Word = Field("", description="dense-transformer, moe, encoder, vision, diffusion or other")
    params: Some | None = None
    active: Some | None = Field(None, description="Active parameters per token, for a mixture of experts")
    layers: Whole | None = None
    hidden: Whole | None = None
    heads: Whole | None = None
    kv_heads: Whole | None = None
    vocabulary: Whole | None = None
    forward_flops: Some | None = Field(
        None, description="Forward FLOPs of one sample, for models without tokens"
    )


class WorkloadIn(In):
    """The workload to estimate. `kind` determines which of the other fields apply."""

    kind: Kind = Field(Kind.TRAIN, description="train; infer: a number of requests; serve: for some hours; custom: "
                       "measured elsewhere; history: like your finished jobs of a name")  # fmt: skip
    model: ModelIn | None = None
    precision: Word = "bf16"
    mode: Word = Field("pretrain", description="pretrain, full, sft or lora")
    tokens: Some | None = None
    samples: Some | None = None
    epochs: Some = 1.0
    sequence: Whole | None = None
    batch_tokens: Some | None = None
    recompute: Word | None = Field(None, description="none, selective or full")
    tensor: Whole | None = Field(None, description="Tensor parallelism; by default chosen by the estimate")
    pipeline: Whole | None = Field(
        None, description="Pipeline parallelism; by default chosen by the estimate"
    )
    data: Whole | None = Field(None, description="Data parallelism; by default chosen by the estimate")
    input_tokens: Whole = 1024
    output_tokens: Whole = 256
    concurrency: Some | None = Field(None, description="Concurrent requests")
    requests_per_s: Some | None = Field(None, description="serve: arriving requests per second")
    requests: Some | None = Field(None, description="infer: number of requests")
    engine: Word = "vLLM"
    hours: Some | None = Field(None, description="serve: duration; custom: measured duration")
    accelerator: Word = Field("", description="custom: accelerator of the measurement")
    count: Whole = Field(1, description="custom: number of accelerators in the measurement")
    job_name: Word = Field("", description="history: name of the jobs")
    recipe: Word = Field(
        "", description="Name under which finished runs calibrate later estimates; by default the job's name"
    )


class WantedIn(In):
    """Limits on the hardware of the offers."""

    accelerators: list[Word] = Field(default_factory=list, max_length=20)
    count: int | None = Field(None, ge=1, le=65_536, description="Exact number of accelerators")
    most: int | None = Field(None, ge=1, le=65_536, description="Maximum number of accelerators")
    hypothetical: Annotated[str, Field(max_length=400)] = Field(
        "",
        description="Hardware that the center does not have, such as 128x8xH100-80G: to plan with, not to accept",
    )


class QuoteIn(In):
    """A workload, the job that would run it, and limits on the offers."""

    workload: WorkloadIn
    job: dict[str, object] | None = Field(
        None,
        description="Job specification without accelerators, tasks and time limit. Without it the offers cannot be "
        "accepted",
    )
    wanted: WantedIn | None = None
    project: Word | None = None


class BandOut(Out):
    """A range: four of five outcomes lie between p10 and p90."""

    p10: float
    median: float
    p90: float


class QuoteLineOut(Out):
    """Cost of one resource in the median price."""

    resource: str
    amount: Yuan


class PriceOut(Out):
    """Price of the run, over the range of its run time."""

    p10: Yuan
    median: Yuan
    p90: Yuan
    hourly: Yuan
    lines: list[QuoteLineOut]


class GreenStartOut(Out):
    """A later start with clearly lower emissions."""

    start: Time
    carbon_kg: float
    less: float
    """Reduction of the emissions, as a fraction of those at the expected start."""


class OfferEnergyOut(Out):
    """Energy, carbon and electricity cost of the run; null where the site has no energy facts."""

    it_kwh: BandOut
    facility_kwh: BandOut | None
    carbon_kg: BandOut | None
    cost: Yuan | None
    basis: str | None
    greenest_start: GreenStartOut | None
    """Best start within two days; null if none is clearly greener or there is no hourly carbon series."""


class StartOut(Out):
    """Expected start, if the job had been submitted when the quote was made."""

    basis: Literal["free", "limits", "predictions", "unknown"]
    earliest: Time | None
    likely: Time | None
    latest: Time | None
    position: int | None
    why: str | None


class ServedOut(Out):
    """Throughput and latency of serving a model."""

    output_tokens_per_s: BandOut
    requests_per_s: BandOut
    ttft_s: BandOut
    tpot_s: BandOut
    carried_tokens_per_s: float
    price_per_mtoken: Yuan | None


class OfferOut(Out):
    """One way to run the workload."""

    id: str
    names: list[str]
    """Comparisons that the offer wins: cheapest, fastest, soonest, greenest."""
    engines: list[str]
    """Engines of the center whose nodes can run it; empty: not known, or hypothetical."""
    accelerator: str
    tasks: int
    per_task: int
    count: int
    owned: bool
    can_be_accepted: bool
    elapsed_s: BandOut
    """Run time in seconds of wall-clock time."""
    overhead_s: BandOut | None
    """Part of the run time for start-up, reading weights and writing the last checkpoint; for serving, the time until it
    is ready. Null if unknown."""
    device_s: BandOut
    price: PriceOut | None
    energy: OfferEnergyOut | None
    start: StartOut | None
    layout: dict[str, int | str]
    memory_gib: float | None
    device_memory_gib: float
    served: ServedOut | None
    utilisation: float | None
    assumed: list[str]
    warnings: list[str]
    time_limit_s: float
    job: dict[str, object] | None
    """Job specification that accepting the offer submits."""


class QuoteOut(Out):
    """A quote: the request and its offers."""

    id: str
    org_id: str
    project_id: str
    owner: str
    created: Time
    valid_until: Time
    state: State
    workload: dict[str, object]
    wanted: dict[str, object]
    job_draft: dict[str, object] | None
    offers: list[OfferOut]
    considered: int
    price_version: int
    recipe: str
    accepted: str | None
    job_id: str | None


class AcceptQuoteIn(In):
    """The offer to accept."""

    offer: Word = Field(description="Number of the offer, or one of its names", examples=["1", "cheapest"])


class AcceptedOut(Out):
    """An accepted quote and its job."""

    quote: QuoteOut
    job: JobOut


class ComparedOut(Out):
    """One measure, quoted and actual."""

    measure: str
    quoted: BandOut | None
    actual: float | None
    error: float | None
    """Relative error: actual divided by the quoted median, minus 1."""
    inside: bool | None


class ComparisonOut(Out):
    """Comparison of a quote with its job."""

    quote_id: str
    offer: OfferOut
    job: JobOut
    rows: list[ComparedOut]
    is_over: bool
    attempts: int
    taught: bool
    notes: list[str]


class ScenarioRuleOut(Out):
    """A rule of thumb for training a large model."""

    name: str
    title: str
    params: float
    exaflops: float
    days: float


class Rules(Out):
    """Rules of thumb for training large models."""

    items: list[ScenarioRuleOut]


class ReadingOut(Out):
    """Number of tokens that the rule implies at one utilisation."""

    mfu: float
    tokens: float
    tokens_a_parameter: float


class ScenarioOut(Out):
    """A rule of thumb with explicit tokens and utilisation, beside the estimates."""

    rule: ScenarioRuleOut
    mfu: float
    tokens: float
    flops: float
    rule_days: float
    readings: list[ReadingOut]
    optimal_days: float
    offers: list[OfferOut]
    unfit: list[str]
    notes: list[str]


def band_out(band: Band | None) -> dict[str, float] | None:
    """Return a range as a BandOut."""
    return None if band is None else {"p10": band.p10, "median": band.median, "p90": band.p90}


def offer_out(offer: Offer, language: str) -> dict[str, object]:
    """Return an offer as an OfferOut."""
    return {
        "id": offer.id,
        "names": list(offer.names),
        "engines": list(offer.engines),
        "accelerator": offer.accelerator,
        "tasks": offer.tasks,
        "per_task": offer.per_task,
        "count": offer.count,
        "owned": offer.owned,
        "can_be_accepted": offer.spec is not None,
        "elapsed_s": band_out(offer.elapsed_s),
        "overhead_s": band_out(offer.overhead_s),
        "device_s": band_out(offer.device_s),
        "price": _price(offer.price),
        "energy": _energy(offer.energy, language),
        "start": _start(offer.start, language),
        "layout": dict(offer.layout),
        "memory_gib": offer.memory_gib,
        "device_memory_gib": offer.device_memory_gib,
        "served": _served(offer.served),
        "utilisation": offer.utilisation,
        "assumed": [words(one, language) for one in offer.assumed],
        "warnings": [words(one, language) for one in offer.warnings],
        "time_limit_s": offer.time_limit_s,
        "job": None if offer.spec is None else dict(offer.spec),
    }


def _price(price: Price | None) -> dict[str, object] | None:
    if price is None:
        return None
    return {
        "p10": yuan_of(price.p10),
        "median": yuan_of(price.median),
        "p90": yuan_of(price.p90),
        "hourly": yuan_of(price.hourly),
        "lines": [{"resource": line.resource, "amount": yuan_of(line.amount)} for line in price.lines],
    }


def _energy(energy: Energy | None, language: str) -> dict[str, object] | None:
    if energy is None:
        return None
    return {
        "it_kwh": band_out(energy.it_kwh),
        "facility_kwh": band_out(energy.facility_kwh),
        "carbon_kg": band_out(energy.carbon_kg),
        "cost": None if energy.cost is None else yuan_of(energy.cost),
        "basis": words(energy.basis, language),
        "greenest_start": _greenest(energy.greenest),
    }


def _greenest(found: GreenStart | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {"start": time_of(found.start_us), "carbon_kg": found.carbon_kg, "less": found.less}


def _start(start: Start | None, language: str) -> dict[str, object] | None:
    if start is None:
        return None
    return {
        "basis": start.basis,
        "earliest": time_of(start.earliest_us),
        "likely": time_of(start.likely_us),
        "latest": time_of(start.latest_us),
        "position": start.position,
        "why": words(start.why, language),
    }


def _served(served: Served | None) -> dict[str, object] | None:
    if served is None:
        return None
    each = served.price_per_mtoken
    return {
        "output_tokens_per_s": band_out(served.output_tokens_per_s),
        "requests_per_s": band_out(served.requests_per_s),
        "ttft_s": band_out(served.ttft_s),
        "tpot_s": band_out(served.tpot_s),
        "carried_tokens_per_s": served.carried_tokens_per_s,
        "price_per_mtoken": None if each is None else yuan_of(each),
    }


def quote_out(quote: Quote, language: str) -> dict[str, object]:
    """Return a quote as a QuoteOut."""
    wanted, draft = quote.question.wanted, quote.question.draft
    return {
        "id": quote.id,
        "org_id": quote.org_id,
        "project_id": quote.project_id,
        "owner": login_of(quote.owner),
        "created": time_of(quote.created_us),
        "valid_until": time_of(quote.valid_until_us),
        "state": quote.state.value,
        "workload": workload_json(quote.question.workload),
        "wanted": {
            "accelerators": list(wanted.accelerators),
            "count": wanted.count,
            "most": wanted.most,
            "hypothetical": wanted.hypothetical,
        },
        "job_draft": None if draft is None else dict(draft),
        "offers": [offer_out(offer, language) for offer in quote.offers],
        "considered": quote.considered,
        "price_version": quote.price_number,
        "recipe": quote.recipe,
        "accepted": quote.accepted,
        "job_id": quote.job_id,
    }


def accepted_out(found: Accepted, language: str) -> dict[str, object]:
    """Return an accepted quote as an AcceptedOut."""
    return {"quote": quote_out(found.quote, language), "job": job_out(found.job, language)}


def comparison_out(found: Comparison, language: str) -> dict[str, object]:
    """Return a comparison as a ComparisonOut."""
    return {
        "quote_id": found.quote.id,
        "offer": offer_out(found.offer, language),
        "job": job_out(found.job, language),
        "rows": [
            {
                "measure": row.measure,
                "quoted": band_out(row.quoted),
                "actual": row.actual,
                "error": row.error,
                "inside": row.inside,
            }
            for row in found.rows
        ],
        "is_over": found.is_over,
        "attempts": found.attempts,
        "taught": found.taught,
        "notes": [words(note, language) for note in found.notes],
    }


def rule_out(rule: Rule, language: str) -> dict[str, object]:
    """Return a rule of thumb as a ScenarioRuleOut."""
    return {
        "name": rule.name,
        "title": words(rule.title, language),
        "params": rule.params,
        "exaflops": rule.exaflops,
        "days": rule.days,
    }


def scenario_out(found: Scenario, language: str) -> dict[str, object]:
    """Return a scenario as a ScenarioOut."""
    return {
        "rule": rule_out(found.rule, language),
        "mfu": found.mfu,
        "tokens": found.tokens,
        "flops": found.flops,
        "rule_days": found.rule_days,
        "readings": [
            {"mfu": one.mfu, "tokens": one.tokens, "tokens_a_parameter": one.tokens_a_parameter}
            for one in found.readings
        ],
        "optimal_days": found.optimal_days,
        "offers": [offer_out(offer, language) for offer in found.offers],
        "unfit": [words(one, language) for one in found.unfit],
        "notes": [words(note, language) for note in found.notes],
    }


def question_of(body: QuoteIn) -> Question:
    """Return the question in a request body."""
    asked, narrowed = body.workload.model_dump(), body.wanted
    work = Workload(**{**asked, "model": Model(**(asked["model"] or {}))})
    wanted = Wanted()
    if narrowed is not None:
        wanted = Wanted(tuple(narrowed.accelerators), narrowed.count, narrowed.most, narrowed.hypothetical)
    return Question(work, body.job, wanted, body.project)


@router.post(
    "",
    tie=Tied.PROJECT,
    scope="jobs:write",
    location="/quotes/{id}",
    status_code=201,
    responses={201: {"model": QuoteOut}},
)
async def create_quote(
    request: Request,
    body: QuoteIn,
    quotes: QuotesService,
    actor: Actor = CurrentActor,
    org: Org = None,
) -> Response:
    """Create a quote with offers that are valid for a day. Nothing is submitted."""
    language = language_of(request)
    question, target = question_of(body), org_of(actor, org)
    return await command(
        request,
        actor,
        lambda s: quotes.on(s).ask_quote(actor, target, question),
        lambda found: quote_out(found, language),
        status=201,
    )


@router.get("", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Page[QuoteOut]}})
async def list_quotes(
    request: Request,
    quotes: QuotesService,
    actor: Actor = CurrentActor,
    org: Org = None,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List quotes, newest first."""
    language = language_of(request)
    before = read_cursor(cursor)
    return await query(
        lambda: quotes.list_quotes(actor, org, states=tuple(state or ()), before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, lambda row: quote_out(row, language)),
    )


@router.get("/scenarios", tie=Tied.PROJECT, signed_in=True, responses={200: {"model": Rules}})
async def list_quote_scenarios(request: Request) -> Response:
    """List the rules of thumb that can be estimated."""
    language = language_of(request)
    return await query(
        scenarios.list_scenarios, lambda rules: {"items": [rule_out(rule, language) for rule in rules]}
    )


@router.get(
    "/scenarios/{scenario}", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": ScenarioOut}}
)
async def get_quote_scenario(
    request: Request,
    scenario: str,
    quotes: QuotesService,
    actor: Actor = CurrentActor,
    tokens: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    mfu: Annotated[
        float | None, Query(allow_inf_nan=False, description="Utilisation, as a fraction of the rated peak")
    ] = None,
    accelerator: Annotated[list[str] | None, Query(max_length=6)] = None,
) -> Response:
    """Estimate a rule of thumb on hypothetical hardware of its size."""
    language = language_of(request)
    changes = Changes(tokens, mfu, tuple(accelerator or ()))
    return await query(
        lambda: quotes.run_scenario(actor, scenario, changes),
        lambda found: scenario_out(found, language),
    )


@router.get("/{quote}", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": QuoteOut}})
async def get_quote(
    request: Request, quote: str, quotes: QuotesService, actor: Actor = CurrentActor
) -> Response:
    """Get a quote."""
    language = language_of(request)
    return await query(lambda: quotes.get_quote(actor, quote), lambda found: quote_out(found, language))


@router.delete("/{quote}", tie=Tied.PROJECT, scope="jobs:write", responses={200: {"model": QuoteOut}})
async def withdraw_quote(
    request: Request, quote: str, quotes: QuotesService, actor: Actor = CurrentActor
) -> Response:
    """Withdraw an open quote, so that it cannot be accepted."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda s: quotes.on(s).withdraw_quote(actor, quote),
        lambda found: quote_out(found, language),
    )


@router.post(
    "/{quote}/accept",
    tie=Tied.PROJECT,
    scope="jobs:write",
    location="/jobs/{job.id}",
    status_code=201,
    responses={201: {"model": AcceptedOut}},
)
async def accept_quote(
    request: Request,
    quote: str,
    body: AcceptQuoteIn,
    quotes: QuotesService,
    actor: Actor = CurrentActor,
) -> Response:
    """Submit the job of an offer, unchanged and at the quote's prices."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda s: quotes.on(s).accept_quote(actor, quote, body.offer),
        lambda found: accepted_out(found, language),
        status=201,
    )


@router.get(
    "/{quote}/comparison", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": ComparisonOut}}
)
async def compare_quote(
    request: Request, quote: str, quotes: QuotesService, actor: Actor = CurrentActor
) -> Response:
    """Compare a quote with the actual run of its job."""
    language = language_of(request)
    return await query(
        lambda: quotes.compare_quote(actor, quote),
        lambda found: comparison_out(found, language),
    )
