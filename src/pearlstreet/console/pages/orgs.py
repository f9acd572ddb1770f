"""Operators' pages of organisations: the list, and one with its members, projects, money and jobs."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.form_parsing import text_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, Download, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.routing import once
from pearlstreet.ledger.center_funds import balances
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.overview import spent_this_month
from pearlstreet.services.jobs import JobFilter, JobsService, JobState
from pearlstreet.services.offboarding import OffboardingService
from pearlstreet.tenancy import orgs as service
from pearlstreet.tenancy.directory import search_orgs
from pearlstreet.tenancy.members import list_members
from pearlstreet.tenancy.model import LEFT, Organisation, Standing

STATES = tuple(state.value for state in Standing)
RECENT = 10
PROJECTS_SHOWN = 200
LIVE = tuple(state for state in JobState if state in (JobState.RUNNING, JobState.STARTING, JobState.PLACED))


def show(request: PageRequest) -> PageResponse:
    """Show the organisations that match the filter, by slug."""
    words, state = request.query.get("q", "")[:120].strip(), request.query.get("state", "")
    found = search_orgs(
        request.store,
        request.actor,
        words=words,
        state=Standing(state) if state in STATES else None,
        after=request.query.get("after") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    return View(
        "orgs.html",
        {
            "orgs": shown,
            "after": shown[-1].slug if len(found) > PER_PAGE else None,
            "balances": balances(request.store, request.actor, (org.id for org in shown))
            if request.actor.may("credit:read")
            else None,
            "words": words,
            "state": state,
            "states": STATES,
            "filters": {name: value for name, value in (("q", words), ("state", state)) if value},
            "may_write": request.actor.may("orgs:write"),
        },
    )


def create(request: PageRequest) -> PageResponse:
    """Create an organisation with its default project."""
    made = service.create_org(once(request), request.actor, request.value("slug"), request.value("name"))
    return Redirect(
        f"/orgs/{made.slug}", text("The organisation {org} is created; now add an owner", org=made.slug)
    )


def show_one(request: PageRequest, jobs: JobsService, offboarding: OffboardingService) -> PageResponse:
    """Show one organisation."""
    store, actor = request.store, request.actor
    org = service.get_org(store, actor, request.path_params["org"])
    may = {
        scope: actor.may(scope, org.id)
        for scope in ("credit:read", "jobs:read", "projects:read", "users:read")
    }
    return View(
        "org.html",
        {
            "title": org.name,
            "org": org,
            "money": _money(request, jobs, org) if may["credit:read"] else None,
            "counts": jobs.count_jobs(actor, org=org.id) if may["jobs:read"] else None,
            "jobs": jobs.list_jobs(actor, JobFilter(org=org.id, states=LIVE), limit=RECENT)
            if may["jobs:read"]
            else (),
            "projects": service.list_projects(store, actor, org.id, limit=PROJECTS_SHOWN)
            if may["projects:read"]
            else None,
            "members": list_members(store, actor, org.id) if may["users:read"] else None,
            "may_write": actor.may("orgs:write"),
            "may_export": actor.may("export:read", org.id),
            "closing": offboarding.get_closing(actor, org.id)
            if org.state in LEFT and actor.may("orgs:write")
            else None,
            "may_credit": actor.may("credit:write"),
        },
    )


def _money(request: PageRequest, jobs: JobsService, org: Organisation) -> dict[str, object]:
    month, charged = spent_this_month(request.store, request.actor, org.id, org.id)
    return {
        "balance": balance(request.store, request.actor, org.id),
        "month": month,
        "charged": charged,
        "hourly": jobs.hourly_price(request.actor, org=org.id)
        if request.actor.may("jobs:read", org.id)
        else None,
    }


def rename(request: PageRequest) -> PageResponse:
    """Change the display name of an organisation."""
    org = service.rename_org(request.store, request.actor, request.path_params["org"], request.value("name"))
    return Redirect(f"/orgs/{org.slug}", text("{org} is now called {name}", org=org.slug, name=org.name))


def suspend(request: PageRequest) -> PageResponse:
    """Suspend an organisation: its members can only read."""
    org = service.suspend_org(
        request.store, request.actor, request.path_params["org"], text_in(request, "reason", 500)
    )
    return Redirect(f"/orgs/{org.slug}", text("{org} is suspended: its members can only read", org=org.slug))


def resume(request: PageRequest) -> PageResponse:
    """Resume a suspended organisation."""
    org = service.resume_org(
        request.store, request.actor, request.path_params["org"], text_in(request, "reason", 500)
    )
    return Redirect(f"/orgs/{org.slug}", text("{org} is active again", org=org.slug))


def close(request: PageRequest, offboarding: OffboardingService) -> PageResponse:
    """Close an organisation: members lose access at once, and a background task does the rest."""
    if request.value("slug_again") != request.path_params["org"]:
        raise wrong("slug_again", text("Enter {org} to close it", org=request.path_params["org"]))
    made = offboarding.close_org(
        request.actor,
        request.path_params["org"],
        cancel_jobs=request.value("cancel_jobs") == "yes",
        reason=text_in(request, "close_reason", 500),
    )
    return Redirect(f"/orgs/{made.slug}", text("{org} is being closed", org=made.slug))


def export(request: PageRequest, offboarding: OffboardingService) -> PageResponse:
    """Download all data of an organisation as one archive."""
    name, parts = offboarding.export_org(request.actor, request.path_params["org"])
    return Download(name, parts, "application/gzip")


PAGES = (
    ConsolePage(
        "/orgs",
        text("Organisations"),
        show,
        scope="orgs:read",
        at_center=True,
        actions={"create": create},
        menu=MenuPlace(MenuGroup.CENTER, 11, "building", "r"),
    ),
    ConsolePage(
        "/orgs/{org}",
        text("Organisation"),
        show_one,
        scope="orgs:read",
        at_center=True,
        actions={"rename": rename, "suspend": suspend, "resume": resume, "close": close},
    ),
    ConsolePage("/orgs/{org}/export", text("Export"), export, scope="export:read"),
)
