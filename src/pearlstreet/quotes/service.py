"""Commands and queries on quotes: ask, look, accept, withdraw."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem, Unavailable
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.jobs.engine_needs import engines_for
from pearlstreet.compute.jobs.model import JobView
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.service import (
    QuotedPrices,
    check_dependencies,
    check_uploads,
    draft_job,
    refuse_unsupported,
    write_job,
)
from pearlstreet.compute.pool.inventory import Node, all_nodes
from pearlstreet.compute.queueing.engine_choice import common_engines
from pearlstreet.compute.queueing.planner_rows import load_quotas, user_of
from pearlstreet.compute.queueing.policy.service import queue_for
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import Quota
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.pricing import PriceVersion
from pearlstreet.quotes.calibrating import read_calibration, recipe_key
from pearlstreet.quotes.candidates import Candidate, at_work, candidates, is_allowed
from pearlstreet.quotes.estimating import Background, Past, Unfit, Work, check_workload, estimate
from pearlstreet.quotes.footprint import Site
from pearlstreet.quotes.history import read_past
from pearlstreet.quotes.model import Kind, Offer, Question, Quote, Start, State, Wanted
from pearlstreet.quotes.offer_spec import LONGEST_LIMIT_S, Draft, per_task_of, read_draft
from pearlstreet.quotes.offers import Terms, make_offers, refuse_nothing
from pearlstreet.quotes.serialization import offer_from_json, offer_json, question_from_json, question_json
from pearlstreet.quotes.start_estimate import Submitter, expected_start
from pearlstreet.quotes.tables import quotes
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor, Project
from pearlstreet.tenancy.orgs import find_project
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.secrets import check_for_job
from pearlstreet.tenancy.tables import orgs
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_stored

VALID_S = 24 * 3600
"""Seconds for which a quote can be accepted: its prices hold, expected starts do not."""
KEPT = 500
"""Largest number of unaccepted quotes of a project; beyond it the oldest are deleted."""
TEACHING = frozenset({Kind.TRAIN, Kind.INFER})
"""Kinds whose finished jobs calibrate estimates: their times come from our model, not from the tenant."""
PATIENCE_S = 30.0
_working = threading.BoundedSemaphore(2)
"""Two quotes at a time: each takes about a second of CPU, and jobs and pages must go on."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted quote and the job it submitted."""

    quote: Quote
    job: JobView


@dataclass(frozen=True, slots=True)
class Checked:
    """Checked input of a valid quote request."""

    ways: int
    """Number of candidates that will be estimated."""
    models: tuple[str, ...]
    can_be_accepted: bool
    """Whether the question has a job draft, so that its offers can be accepted."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Rows that one transaction read for a question."""

    org_id: str
    project_id: str
    prices: PriceVersion
    quotas: Sequence[Quota]
    planner: PlannerConfig
    submitter: Submitter
    nodes: Mapping[str, Node]
    background: Background
    site: Site
    now_us: int


def ask_quote(store: Store, actor: Actor, runtime: Runtime, org: str, question: Question) -> Quote:
    """Make offers for a workload and store them for a day. Raises InvalidInput, NotFound, Forbidden, Unavailable."""
    draft, known = _understand(store, actor, runtime, org, question)
    offers, considered = answer(runtime, question, draft, known)

    def command(tx: Tx) -> Quote:
        where = find_project(tx, actor, known.org_id, known.project_id, "jobs:write")
        row: dict[str, object] = {
            "id": tx.new_id("quo"),
            "org_id": where.org_id,
            "project_id": where.id,
            "owner": actor.label,
            "created_us": tx.now_us,
            "valid_until_us": tx.now_us + VALID_S * US_PER_S,
            "state": State.OPEN.value,
            "question": question_json(question),
            "offers": [offer_json(offer) for offer in offers],
            "considered": considered,
            "price_version_id": known.prices.id,
            "price_number": known.prices.number,
            "recipe": known.background.recipe,
            "accepted": None,
            "job_id": None,
            "teaches": False,
        }
        _forget_old(tx, where)
        tx.execute(sa.insert(quotes).values(**row))
        return quote_of(row, tx.now_us)

    return store.write(command)


def check_question(store: Store, actor: Actor, runtime: Runtime, org: str, question: Question) -> Checked:
    """Check a question without answering or storing it.

    Raises as `ask_quote`, but not for hardware on which nothing fits: that takes the estimates.
    """
    draft, known = _understand(store, actor, runtime, org, question)
    found = candidates(runtime.planner_status.snapshot(), question.wanted, known.submitter.engines)
    allowed = [one for one in found if not one.owned or _allowed(one, draft, known)]
    models = tuple(dict.fromkeys(one.model for one in allowed))
    return Checked(len(allowed), models, draft is not None and not question.wanted.hypothetical)


def _understand(
    store: Store, actor: Actor, runtime: Runtime, org: str, question: Question
) -> tuple[Draft | None, _Known]:
    """Return the draft and everything read for the question, or raise every problem of both."""
    draft = (
        read_draft(question.draft, private_git=runtime.settings.git_private_allowed)
        if question.draft is not None
        else None
    )
    if draft is not None:
        refuse_unsupported(runtime, draft.spec)
    project = draft.spec.project if draft is not None and draft.spec.project else question.project
    known = store.read(lambda tx: _read(tx, actor, runtime, org, project, question, draft))
    check_workload(question.workload, known.background.book, known.background.past)
    return draft, known


def _read(
    tx: Tx,
    actor: Actor,
    runtime: Runtime,
    org: str,
    project: str | None,
    question: Question,
    draft: Draft | None,
) -> _Known:
    where = find_project(tx, actor, org, project, "jobs:write")
    if draft is not None:
        spec = draft.spec
        check_uploads(tx, actor, where.org_id, spec)
        if spec.secrets:
            check_for_job(tx, actor, where, spec.secrets.values())
        check_dependencies(tx, actor, where, spec.depends_on)
    work = question.workload
    queue = queue_for(runtime.policy, tx, draft.spec.queue if draft else None, where.org_id, where.id)
    recipe = work.recipe or (draft.spec.name if draft is not None else "")
    past: Sequence[Past] = ()
    if work.kind is Kind.HISTORY:
        past = read_past(tx, where.org_id, work.job_name, project_id=actor.project_id)
    return _Known(
        org_id=where.org_id,
        project_id=where.id,
        prices=current_prices(tx),
        quotas=load_quotas(tx),
        planner=runtime.policy.current(tx).planner,
        submitter=Submitter(
            where.org_id,
            where.id,
            user_of(actor.label),
            queue,
            str(tx.scalar(sa.select(orgs.c.slug).where(orgs.c.id == where.org_id))),
            where.slug,
            common_engines(
                engines_for(runtime, draft.spec) if draft is not None else (),
                runtime.policy.current(tx).engines_of(queue),
            ),
        ),
        nodes={node.report.name: node for node in all_nodes(tx)},
        background=Background(catalogue(), read_calibration(tx), recipe_key(where.org_id, recipe), past),
        site=Site.read(tx),
        now_us=tx.now_us,
    )


def answer(
    runtime: Runtime, question: Question, draft: Draft | None, known: _Known
) -> tuple[tuple[Offer, ...], int]:
    """Return the offers and the number of candidates. Raises InvalidInput when there is no offer."""
    if not _working.acquire(timeout=PATIENCE_S):
        raise Unavailable(text("Other quotes are being worked out"), retry_after_s=5)
    try:
        snapshot, pace = runtime.planner_status.snapshot(), runtime.pace
        found = candidates(snapshot, question.wanted, known.submitter.engines)
        allowed = [one for one in found if not one.owned or _allowed(one, draft, known)]
        fit: list[tuple[Candidate, Work]] = []
        unfit: list[tuple[Candidate, Unfit]] = []
        for candidate in allowed:
            made = estimate(question.workload, candidate, known.background)
            if isinstance(made, Unfit):
                unfit.append((candidate, made))
            else:
                fit.append((candidate, made))
        if not fit:
            any_there = bool(candidates(snapshot, Wanted()))
            raise refuse_nothing(
                unfit,
                len(allowed),
                len(found) - len(allowed),
                any_there=any_there,
                engines=known.submitter.engines,
            )

        def start_of(spec: JobSpec, elapsed_s: Band) -> Start | None:
            if snapshot is None:
                return None
            return expected_start(
                snapshot, known.planner, known.submitter, spec, elapsed_s, pace, known.nodes
            )

        terms = Terms(
            question.workload,
            draft,
            known.prices,
            known.site.footprint,
            known.site.greenest,
            start_of,
            known.now_us,
            pace,
        )
        return make_offers(fit, terms), len(allowed)
    finally:
        _working.release()


def _allowed(candidate: Candidate, draft: Draft | None, known: _Known) -> bool:
    cpus = per_task_of(draft, candidate).cpus * candidate.tasks
    return is_allowed(known.quotas, known.org_id, known.project_id, candidate, cpus)


def _forget_old(tx: Tx, project: Project) -> None:
    here = (quotes.c.org_id == project.org_id) & (quotes.c.project_id == project.id)
    mine = here & (quotes.c.state != State.ACCEPTED.value)
    newest = sa.select(quotes.c.id).where(mine).order_by(quotes.c.id.desc()).offset(KEPT - 1)
    old = [row["id"] for row in tx.rows(newest.limit(KEPT))]
    if old:
        tx.execute(sa.delete(quotes).where(quotes.c.id.in_(old)))


def list_quotes(
    store: Store,
    actor: Actor,
    org: str | None = None,
    *,
    states: Sequence[State] = (),
    before: str | None = None,
    limit: int = 100,
) -> Sequence[Quote]:
    """Return quotes of an organisation, or all that the actor may see, newest first, before the id `before`."""

    def query(tx: Tx) -> Sequence[Quote]:
        wanted = sa.select(quotes).order_by(quotes.c.id.desc()).limit(limit)
        wanted = wanted.where(visible_rows(tx, actor, "jobs:read", quotes, org=org))
        if states:
            wanted = wanted.where(sa.or_(*(_is_in(state, tx.now_us) for state in states)))
        if before is not None:
            wanted = wanted.where(quotes.c.id < before)
        return [quote_of(row, tx.now_us) for row in tx.rows(wanted)]

    return store.read(query)


def _is_in(state: State, now_us: int) -> sa.ColumnElement[bool]:
    """Return whether a row is in that state, with expiry by time."""
    if state is State.EXPIRED:
        return (quotes.c.state == State.OPEN.value) & (quotes.c.valid_until_us <= now_us)
    kept = quotes.c.state == state.value
    return kept & (quotes.c.valid_until_us > now_us) if state is State.OPEN else kept


def get_quote(store: Store, actor: Actor, quote_id: str) -> Quote:
    """Return one quote. Raises NotFound."""
    return store.read(lambda tx: quote_of(find_quote(tx, actor, quote_id), tx.now_us))


def withdraw_quote(store: Store, actor: Actor, quote_id: str) -> Quote:
    """Withdraw an open quote, so that it cannot be accepted. Raises NotFound, Conflict, Forbidden."""

    def command(tx: Tx) -> Quote:
        row = find_quote(tx, actor, quote_id, "jobs:write")
        quote = quote_of(row, tx.now_us)
        if quote.state is State.ACCEPTED:
            raise _already(quote)
        values = {"state": State.WITHDRAWN.value}
        tx.execute(sa.update(quotes).where(quotes.c.id == quote.id).values(**values))
        return quote_of({**row, **values}, tx.now_us)

    return store.write(command)


def accept_quote(store: Store, actor: Actor, runtime: Runtime, quote_id: str, offer: str) -> Accepted:
    """Submit the job of an offer (its number or a name such as `cheapest`) at the quote's prices.

    Raises NotFound, Conflict (expired, accepted before, hardware gone), PaymentRequired, Forbidden, InvalidInput.
    """
    store.not_done_before()
    quote = get_quote(store, actor, quote_id)
    refuse_closed(quote)
    chosen = offer_named(quote, offer)
    draft = _job_of(store, runtime, chosen)
    terms = QuotedPrices(quote.id, quote.price_version_id)

    def command(tx: Tx) -> Accepted:
        row = find_quote(tx, actor, quote_id, "jobs:write")
        refuse_closed(quote_of(row, tx.now_us))
        job = write_job(tx, actor, runtime, quote.org_id, draft, terms)
        values = {
            "state": State.ACCEPTED.value,
            "accepted": chosen.id,
            "job_id": job.id,
            "teaches": quote.question.workload.kind in TEACHING,
        }
        tx.execute(sa.update(quotes).where(quotes.c.id == quote.id).values(**values))
        audit.record(
            tx,
            actor=actor.label,
            action="quote.accept",
            target=quote.id,
            org_id=quote.org_id,
            details={"offer": chosen.id, "job": job.id},
        )
        return Accepted(quote_of({**row, **values}, tx.now_us), job)

    return store.write(command)


def refuse_closed(quote: Quote) -> None:
    """Raise Conflict unless the quote is open."""
    if quote.state is State.ACCEPTED:
        raise _already(quote)
    if quote.state is State.WITHDRAWN:
        raise Conflict(text("Quote {quote} was withdrawn", quote=quote.id), hint=_again())
    if quote.state is State.EXPIRED:
        until = to_rfc3339(quote.valid_until_us)[:19] + "Z"
        raise Conflict(
            text("Quote {quote} was valid until {until}", quote=quote.id, until=until), hint=_again()
        )


def _already(quote: Quote) -> Conflict:
    return Conflict(
        text("Quote {quote} was accepted already: it is job {job}", quote=quote.id, job=quote.job_id),
        hint=text("To run it once more, ask for another quote"),
    )


def _again() -> Text:
    return text("Ask for a quote again: pearl quote ask")


def offer_named(quote: Quote, offer: str) -> Offer:
    """Return an offer by number or name. Raises InvalidInput."""
    wanted = offer.strip().lower()
    found = next((one for one in quote.offers if wanted == one.id or wanted in one.names), None)
    if found is None:
        known = ", ".join(
            f"{one.id} ({', '.join(one.names)})" if one.names else one.id for one in quote.offers
        )
        message = text("Quote {quote} has no offer {offer}", quote=quote.id, offer=repr(offer[:40]))
        hint = text("It has {offers}", offers=known)
        raise InvalidInput(message, hint=hint, problems=[Problem("offer", message, hint=hint)])
    return found


def _job_of(store: Store, runtime: Runtime, offer: Offer) -> Any:
    """Return the job of an offer, checked against the center as it is now. Raises Conflict."""
    if offer.spec is None:
        raise Conflict(_why_not(offer), hint=text("Ask with the job: pearl quote ask --job job.yaml"))
    spec = parse_stored(offer.spec)
    if spec.simulate_s is None and not any(one.capabilities().runs_code for one in runtime.engines.values()):
        # The simulated engine runs nothing: it is told a run time drawn from the quoted range.
        drawn_s = min(offer.elapsed_s.quantile(store.rng.uniform()), offer.time_limit_s)
        spec = replace(spec, simulate_s=round(drawn_s, 3))
    try:
        draft = draft_job(runtime, spec)
    except InvalidInput as error:
        raise Conflict(
            text("The hardware of the offer is no longer there: {why}", why=error.hint or error.message),
            hint=_again(),
            problems=error.problems,
        ) from None
    _refuse_idle(runtime, offer)
    return draft


def _refuse_idle(runtime: Runtime, offer: Offer) -> None:
    """Raise Conflict when the nodes of an offer exist but are out of service, as its job would wait for an unknown time."""
    snapshot = runtime.planner_status.snapshot()
    if snapshot is None:
        return
    takes = at_work(snapshot, offer.accelerator, offer.per_task, offer.engines)
    if takes < offer.tasks:
        raise Conflict(
            text(
                "The hardware of the offer takes no work now: it needs {tasks} × {count} {model}, and the nodes that take work"
                " can take {takes} × {count}",
                tasks=offer.tasks,
                count=offer.per_task,
                model=offer.accelerator,
                takes=takes,
            ),
            hint=text(
                "The others are drained, unhealthy or away (pearl nodes): take another offer, ask for a quote again, or wait"
                " until they are back"
            ),
        )


def _why_not(offer: Offer) -> Text:
    if not offer.owned:
        return text("The center does not have the hardware of this offer: it is to plan with")
    if offer.time_limit_s > LONGEST_LIMIT_S:
        return text("The offer cannot be accepted: it runs longer than a job may")
    return text("The question had no job in it, so there is nothing to submit")


def find_quote(tx: Tx, actor: Actor, quote_id: str, scope: str = "jobs:read") -> Row:
    """Return the row of a quote for which the actor has `scope`. Raises NotFound, Forbidden."""
    absent = text("There is no quote {quote}", quote=quote_id[:80])
    row = tx.first(sa.select(quotes).where(quotes.c.id == quote_id))
    if row is None:
        raise NotFound(absent)
    actor.require(scope, row["org_id"], row["project_id"], missing=absent)
    return row


def quote_of(row: Row, now_us: int) -> Quote:
    """Return a row as a quote, with its state at that time."""
    state = State(row["state"])
    if state is State.OPEN and row["valid_until_us"] <= now_us:
        state = State.EXPIRED
    return Quote(
        id=row["id"],
        org_id=row["org_id"],
        project_id=row["project_id"],
        owner=row["owner"],
        created_us=row["created_us"],
        valid_until_us=row["valid_until_us"],
        state=state,
        question=question_from_json(row["question"]),
        offers=tuple(offer_from_json(one) for one in row["offers"]),
        price_version_id=row["price_version_id"],
        price_number=row["price_number"],
        considered=row["considered"],
        recipe=row["recipe"].partition("/")[2],
        accepted=row["accepted"],
        job_id=row["job_id"],
    )
