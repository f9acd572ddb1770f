"""The overview page: for operators the whole center with tasks to do, for tenants their jobs and money."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pearlstreet.base.text import Text, plural, text
from pearlstreet.charts.heat import Cell, Row, heat
from pearlstreet.charts.lines import Series, lines
from pearlstreet.console.fragment_cache import get_current, rights, shared
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, View
from pearlstreet.console.pages.org_scope import choose_org
from pearlstreet.ledger.budgets import list_budgets
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.overview import center_money, spent_this_month
from pearlstreet.ledger.topups import TopUpState, list_top_ups
from pearlstreet.services.jobs import ENDED, JobFilter, JobsService, JobState
from pearlstreet.services.nodes import NodesService, PoolView
from pearlstreet.store.loop import failing
from pearlstreet.tenancy.orgs import get_org, list_orgs

RECENT = 8
IDLE_DAYS = 30
YOUNG_STEPS = 8
"""Steps of the chart of the last day (four per hour) that count as recent."""
MAP_NODES_MAX = 512
CHART_S = 5.0
"""Maximum age of the cached chart: drawing it is most of this page's work, and it has only four steps per hour."""
LIVE_STATES = tuple(state for state in JobState if state not in ENDED)


@dataclass(frozen=True, slots=True)
class Todo:
    """A task for the visitor: its tone, text and link."""

    tone: str
    message: Text
    href: str


def show(request: PageRequest, jobs: JobsService, nodes: NodesService) -> PageResponse:
    """Show the overview for the visitor's role."""
    return operators(request, jobs, nodes) if request.is_operator() else tenants(request, jobs)


def operators(request: PageRequest, jobs: JobsService, nodes: NodesService) -> View:
    """Show capacity, use, queue, money, incidents and tasks, cached for all operators with equal rights."""
    key = ("center", rights(request.actor), request.language)
    return View(
        "home_operator.html", get_current(request.store, key, lambda: _of_center(request, jobs, nodes))
    )


def _of_center(request: PageRequest, jobs: JobsService, nodes: NodesService) -> dict[str, object]:
    pool = nodes.view_pool(request.actor)
    sees_jobs = request.actor.may("jobs:read")
    return {
        "pool": pool,
        "heat": heat_map(request, pool),
        "shown_nodes": min(len(pool.nodes), MAP_NODES_MAX),
        "todos": todos(request, pool),
        "counts": jobs.count_jobs(request.actor) if sees_jobs else None,
        "chart": use_chart(request, jobs) if sees_jobs else "",
        "money": center_money(request.store, request.actor) if request.actor.may("credit:read") else None,
        "hourly": jobs.hourly_price(request.actor) if sees_jobs else None,
        "idle": jobs.idle_by_project(request.actor, days=IDLE_DAYS)[:RECENT] if sees_jobs else (),
        "recent": jobs.list_jobs(request.actor, JobFilter(states=LIVE_STATES), limit=RECENT)
        if sees_jobs
        else (),
        "org_slugs": org_slugs(request) if sees_jobs else {},
    }


def tenants(request: PageRequest, jobs: JobsService) -> View:
    """Show jobs and money of the organisation, cached for all members with equal rights."""
    if (choice := choose_org(request)) is not None:
        return choice
    if request.org is None:
        return View("home_nobody.html")
    key = ("tenant", request.org, rights(request.actor), request.language)
    slug = request.org
    return View("home_tenant.html", get_current(request.store, key, lambda: _of_tenant(request, jobs, slug)))


def _of_tenant(request: PageRequest, jobs: JobsService, slug: str) -> dict[str, object]:
    org = get_org(request.store, request.actor, slug)
    may_jobs, may_money = request.actor.may("jobs:read", org.id), request.actor.may("credit:read", org.id)
    money = None
    if may_money:
        hourly = jobs.hourly_price(request.actor, org=org.id)
        found = balance(request.store, request.actor, org.id)
        month, used = spent_this_month(request.store, request.actor, org.id, org.id)
        money = {
            "balance": found,
            "hourly": hourly,
            "hours_left": found.available.micro / hourly if hourly else None,
            "spent": used,
            "month": month,
            "budgets": [
                one for one in list_budgets(request.store, request.actor, org.id) if one.subject_id == org.id
            ],
        }
    return {
        "org": org,
        "counts": jobs.count_jobs(request.actor, org=org.id) if may_jobs else None,
        "recent": jobs.list_jobs(request.actor, JobFilter(org=org.id), limit=RECENT) if may_jobs else (),
        "chart": use_chart(request, jobs, org.id) if may_jobs else "",
        "money": money,
        "may_submit": request.actor.may("jobs:write", org.id),
        "idle": jobs.idle_by_project(request.actor, org=org.id, days=IDLE_DAYS)[:RECENT] if may_jobs else (),
    }


def use_chart(request: PageRequest, jobs: JobsService, org: str | None = None) -> Markup:
    """Return the chart of the last day, cached for all visitors that may see the same jobs in the same language."""
    seen = request.actor.orgs_with("jobs:read") if org is None else org
    return shared(
        request.store, ("use", seen, request.language), CHART_S, lambda: draw_use(request, jobs, org)
    )


def draw_use(request: PageRequest, jobs: JobsService, org: str | None) -> Markup:
    """Draw cards in use and waiting jobs over the last day, or over the last 2 hours if there was nothing before."""
    title, found = text("The last 24 hours"), jobs.history(request.actor, org=org)
    quiet = len(found.at_us) - YOUNG_STEPS
    if not any(found.cards[:quiet]) and not any(found.waiting[:quiet]):
        title, found = text("The last 2 hours"), jobs.history(request.actor, org=org, span_s=7200)
    series = [
        Series(request.say(text("cards in use")), list(zip(found.at_us, found.cards, strict=True))),
        Series(request.say(text("jobs waiting")), list(zip(found.at_us, found.waiting, strict=True))),
    ]
    return lines(request.say(title), series, filled=True)


def heat_map(request: PageRequest, pool: PoolView) -> Markup:
    """Draw nodes × devices; darker cells are allocated to a greater share."""
    rows = []
    for node in pool.nodes[:MAP_NODES_MAX]:
        use = pool.use(node.report.name)
        cells = []
        for device in node.report.devices:
            given = use.given.get(device.index, 0.0)
            state = (
                "gone"
                if not node.present
                else "unhealthy"
                if not (device.healthy and node.report.healthy)
                else "drained"
                if node.drained
                else "healthy"
            )
            said = f"{node.report.name} · {device.model} #{device.index} · {given:.0%}"
            if device.utilization_percent is not None:
                said += (
                    f" · {request.say(text('used {percent} %', percent=round(device.utilization_percent)))}"
                )
            reason = device.health_reason or node.report.health_reason
            cells.append(Cell(given, state, f"{said} · {request.say(reason)}" if reason else said))
        if cells:
            rows.append(Row(node.report.name, f"/nodes/{node.report.name}", cells))
    return heat(request.say(text("Nodes and their devices")), rows)


def todos(request: PageRequest, pool: PoolView) -> list[Todo]:
    """Return the tasks for an operator, the most urgent first."""
    found: list[Todo] = []
    if request.actor.may("settings:read"):
        rows = request.store.read(failing)
        given_up = sum(bool(row["quarantined"]) for row in rows)
        if given_up:
            found.append(
                Todo(
                    "bad",
                    plural(
                        "{count} background task stopped retrying",
                        "{count} background tasks stopped retrying",
                        count=given_up,
                    ),
                    "/incidents",
                )
            )
        if len(rows) > given_up:
            found.append(
                Todo(
                    "wait",
                    plural(
                        "{count} background task fails and is retried",
                        "{count} background tasks fail and are retried",
                        count=len(rows) - given_up,
                    ),
                    "/incidents",
                )
            )
    gone = [node.report.name for node in pool.nodes if not node.present]
    ill = [node.report.name for node in pool.nodes if node.present and not node.report.healthy]
    cards = sum(
        not device.healthy
        for node in pool.nodes
        if node.present and node.report.healthy
        for device in node.report.devices
    )
    drained = sum(node.drained for node in pool.nodes)
    if gone:
        found.append(
            Todo(
                "bad",
                plural(
                    "{count} node is gone: {names}",
                    "{count} nodes are gone: {names}",
                    count=len(gone),
                    names=", ".join(gone[:5]),
                ),
                "/nodes?state=gone",
            )
        )
    if ill:
        found.append(
            Todo(
                "bad",
                plural(
                    "{count} node is unhealthy: {names}",
                    "{count} nodes are unhealthy: {names}",
                    count=len(ill),
                    names=", ".join(ill[:5]),
                ),
                "/nodes?state=unhealthy",
            )
        )
    if cards:
        found.append(
            Todo(
                "bad",
                plural(
                    "{count} device is unhealthy and gets no work",
                    "{count} devices are unhealthy and get no work",
                    count=cards,
                ),
                "/nodes?state=unhealthy",
            )
        )
    if drained:
        found.append(
            Todo(
                "wait",
                plural("{count} node is drained", "{count} nodes are drained", count=drained),
                "/nodes?state=drained",
            )
        )
    if request.actor.may("credit:approve"):
        pending = list_top_ups(request.store, request.actor, state=TopUpState.PENDING, limit=100)
        if pending:
            found.append(
                Todo(
                    "wait",
                    plural(
                        "{count} top-up waits for a second approver",
                        "{count} top-ups wait for a second approver",
                        count=len(pending),
                    ),
                    "/credit",
                )
            )
    if request.actor.may("orgs:write") and not list_orgs(request.store, request.actor, limit=1):
        found.append(Todo("quiet", text("There is no organisation yet: create the first tenant"), "/orgs"))
    found += [Todo("wait", notice, "/settings") for notice in request.center.notices]
    return found


def org_slugs(request: PageRequest) -> dict[str, str]:
    """Return id → slug of the organisations that the visitor may see."""
    return {org.id: org.slug for org in list_orgs(request.store, request.actor, limit=1000)}


PAGES = (
    ConsolePage("/", text("Overview"), show, signed_in=True, menu=MenuPlace(MenuGroup.WORK, 1, "home", "o")),
)
