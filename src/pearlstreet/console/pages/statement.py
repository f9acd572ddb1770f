"""Page of the account statement: all transactions with the balance after each, filtered by day and kind."""

from __future__ import annotations

from datetime import datetime, timedelta

from pearlstreet.base.clock import EPOCH, US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, View
from pearlstreet.console.pages.org_scope import choose_org, org_of
from pearlstreet.energy.books import short, statement_energy
from pearlstreet.ledger.invoices.model import decimal_text, resource_label
from pearlstreet.ledger.model import TxKind
from pearlstreet.ledger.months import zone_of
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.statement import Line, statement
from pearlstreet.services.jobs import JobsService
from pearlstreet.tenancy.orgs import list_projects

DAY = timedelta(days=1)
PROJECTS_MAX = 1000


def show(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Show transactions, newest first; days are in the center's time zone."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    zone = request.store.read(read_site).time_zone
    problem = None
    try:
        since, until = _day_us(request, "from", zone), _day_us(request, "to", zone, after=True)
    except InvalidInput as error:
        problem, since, until = error, None, None
    before = request.query.get("before", "")
    kind = request.query.get("kind", "")
    kinds = [one for one in TxKind if one.value == kind]
    found = statement(
        request.store,
        request.actor,
        org.id,
        before_seq=int(before) if before.isdecimal() and len(before) < 18 else None,
        from_us=since,
        to_us=until,
        kinds=kinds,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    energy = statement_energy(request.store, request.actor, org.id, shown)
    slugs = {}
    if request.actor.may("projects:read", org.id):
        projects = list_projects(request.store, request.actor, org.id, limit=PROJECTS_MAX)
        slugs = {project.id: project.slug for project in projects}
    job_names = {}
    if request.actor.may("jobs:read", org.id):
        references = {line.detail.reference for line in shown if line.detail is not None}
        job_names = {job.id: job.name for job in jobs.find_jobs(request.actor, sorted(references))}
    return View(
        "billing_statement.html",
        {
            "org": org,
            "zone": zone,
            "lines": [(line, *_use(request, line), short(energy.get(line.seq))) for line in shown],
            "slugs": slugs,
            "job_names": job_names,
            "before": shown[-1].seq if len(found) > PER_PAGE else None,
            "kinds": [("", request.say(text("any")))]
            + [(one.value, request.say(KINDS[one])) for one in TxKind if one is not TxKind.TAX],
            "kind_words": {one.value: request.say(KINDS[one]) for one in TxKind},
            "filters": {
                name: request.query[name] for name in ("from", "to", "kind", "org") if request.query.get(name)
            },
            **(
                {"error": problem, "problems": {one.field: [one] for one in problem.problems}}
                if problem
                else {}
            ),
        },
    )


KINDS = {
    TxKind.CHARGE: text("Charge"),
    TxKind.TOP_UP: text("Top-up"),
    TxKind.GRANT: text("Promotional grant"),
    TxKind.REFUND: text("Refund"),
    TxKind.CORRECTION: text("Correction"),
    TxKind.TAX: text("Tax"),
}


def _use(request: PageRequest, line: Line) -> tuple[str, str]:
    """Return the used resource and its quantity."""
    if line.detail is None:
        return request.say(line.memo), ""
    amount = f"{decimal_text(line.detail.quantity)} {request.say(line.detail.unit)}"
    return request.say(resource_label(line.detail.resource)), amount


def _day_us(request: PageRequest, field: str, zone: str, *, after: bool = False) -> int | None:
    written = request.query.get(field, "").strip()
    if not written:
        return None
    try:
        day = datetime.strptime(written, "%Y-%m-%d").replace(tzinfo=zone_of(zone)) + (
            DAY if after else 0 * DAY
        )
    except (ValueError, OverflowError):
        message = text("{value} is not a day such as 2026-11-30", value=written[:40])
        raise InvalidInput(message, problems=[Problem(field, message)]) from None
    return int((day - EPOCH).total_seconds()) * US_PER_S


PAGES = (ConsolePage("/billing/statement", text("Statement"), show, scope="credit:read"),)
