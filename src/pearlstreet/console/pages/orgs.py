"""Organisations, for the center's operators: all of them, and one with its people, projects, money and work."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.text import text
from pearlstreet.compute.jobs.history import count_jobs, hourly_now
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.views import JobFilter, list_jobs
from pearlstreet.console.form_parsing import text_in, wrong
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Download, Go, View
from pearlstreet.console.routing import once
from pearlstreet.ledger.center_funds import balances
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.overview import spent_this_month
from pearlstreet.offboarding.service import close_org, export_org, get_closing
from pearlstreet.tenancy import orgs as service
from pearlstreet.tenancy.directory import search_orgs
from pearlstreet.tenancy.members import list_members
from pearlstreet.tenancy.model import LEFT, Organisation, Standing

STATES = tuple(state.value for state in Standing)
RECENT = 10
PROJECTS_SHOWN = 200
LIVE = tuple(state for state in JobState if state in (JobState.RUNNING, JobState.STARTING, JobState.PLACED))


def show(ask: Ask) -> Answer:
    """All that fit the filter, by slug."""
    words, state = ask.query.get("q", "")[:120].strip(), ask.query.get("state", "")
    found = search_orgs(
        ask.store,
        ask.actor,
        words=words,
        state=Standing(state) if state in STATES else None,
        after=ask.query.get("after") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    return View(
        "orgs.html",
        {
            "orgs": shown,
            "after": shown[-1].slug if len(found) > PER_PAGE else None,
            "balances": balances(ask.store, ask.actor, (org.id for org in shown))
            if ask.actor.may("credit:read")
            else None,
            "words": words,
            "state": state,
            "states": STATES,
            "filters": {name: value for name, value in (("q", words), ("state", state)) if value},
            "may_write": ask.actor.may("orgs:write"),
        },
    )


def create(ask: Ask) -> Answer:
    """Make one with its default project."""
    made = service.create_org(once(ask), ask.actor, ask.value("slug"), ask.value("name"))
    return Go(
        f"/orgs/{made.slug}", text("The organisation {org} is made; now give it an owner", org=made.slug)
    )


def show_one(ask: Ask) -> Answer:
    """One organisation."""
    store, actor = ask.store, ask.actor
    org = service.get_org(store, actor, ask.place["org"])
    may = {
        scope: actor.may(scope, org.id)
        for scope in ("credit:read", "jobs:read", "projects:read", "users:read")
    }
    return View(
        "org.html",
        {
            "title": org.name,
            "org": org,
            "money": _money(ask, org) if may["credit:read"] else None,
            "counts": count_jobs(store, actor, org=org.id) if may["jobs:read"] else None,
            "jobs": list_jobs(store, actor, JobFilter(org=org.id, states=LIVE), limit=RECENT)
            if may["jobs:read"]
            else (),
            "projects": service.list_projects(store, actor, org.id, limit=PROJECTS_SHOWN)
            if may["projects:read"]
            else None,
            "members": list_members(store, actor, org.id) if may["users:read"] else None,
            "may_write": actor.may("orgs:write"),
            "may_export": actor.may("export:read", org.id),
            "closing": get_closing(store, actor, org.id)
            if org.state in LEFT and actor.may("orgs:write")
            else None,
            "may_credit": actor.may("credit:write"),
        },
    )


def _money(ask: Ask, org: Organisation) -> dict[str, Any]:
    month, charged = spent_this_month(ask.store, ask.actor, org.id, org.id)
    return {
        "balance": balance(ask.store, ask.actor, org.id),
        "month": month,
        "charged": charged,
        "hourly": hourly_now(ask.store, ask.actor, org=org.id)
        if ask.actor.may("jobs:read", org.id)
        else None,
    }


def rename(ask: Ask) -> Answer:
    """Change the title people read."""
    org = service.rename_org(ask.store, ask.actor, ask.place["org"], ask.value("name"))
    return Go(f"/orgs/{org.slug}", text("{org} is called {name} now", org=org.slug, name=org.name))


def suspend(ask: Ask) -> Answer:
    """Leave its members reading only."""
    org = service.suspend_org(ask.store, ask.actor, ask.place["org"], text_in(ask, "reason", 500))
    return Go(f"/orgs/{org.slug}", text("{org} is suspended: its members can only read", org=org.slug))


def resume(ask: Ask) -> Answer:
    """Undo that."""
    org = service.resume_org(ask.store, ask.actor, ask.place["org"], text_in(ask, "reason", 500))
    return Go(f"/orgs/{org.slug}", text("{org} is active again", org=org.slug))


def close(ask: Ask) -> Answer:
    """End the tenant: its members are out at once, a loop does the rest."""
    if ask.value("slug_again") != ask.place["org"]:
        raise wrong("slug_again", text("Write {org} here to close it", org=ask.place["org"]))
    made = close_org(
        ask.store,
        ask.actor,
        ask.place["org"],
        cancel_jobs=ask.value("cancel_jobs") == "yes",
        reason=text_in(ask, "close_reason", 500),
    )
    return Go(f"/orgs/{made.slug}", text("{org} is being closed", org=made.slug))


def export(ask: Ask) -> Answer:
    """Everything of it as one archive."""
    name, parts = export_org(ask.store, ask.actor, ask.center.runtime, ask.place["org"])
    return Download(name, parts, "application/gzip")


PAGES = (
    Page("/orgs", text("Organisations"), show, scope="orgs:read", at_center=True, actions={"create": create}),
    Page(
        "/orgs/{org}",
        text("Organisation"),
        show_one,
        scope="orgs:read",
        at_center=True,
        actions={"rename": rename, "suspend": suspend, "resume": resume, "close": close},
    ),
    Page("/orgs/{org}/export", text("Export"), export, scope="export:read"),
)
