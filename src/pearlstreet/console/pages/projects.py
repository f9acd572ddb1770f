"""Page of an organisation's projects with costs, storage, retention and uploads."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.base.text import text
from pearlstreet.console.form_parsing import number_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.console.stored_files import delete_uploads
from pearlstreet.ledger.overview import spending_by_month
from pearlstreet.services.storage import ProjectStorage, StorageService
from pearlstreet.tenancy.model import login_of
from pearlstreet.tenancy.orgs import create_project, list_projects


def show(request: PageRequest, storage: StorageService) -> PageResponse:
    """Show the projects."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    projects = list_projects(request.store, request.actor, org.id, limit=SHOWN_MAX)
    spent = None
    if request.actor.may("credit:read", org.id):
        found = spending_by_month(request.store, request.actor, org.id, months=1)
        spent = {one.subject_id: one.by_month[-1] for one in found.projects}
    return View(
        "projects.html",
        {
            "org": org,
            "projects": projects,
            "slugs": {project.id: project.slug for project in projects},
            "spent": spent,
            "storage": _storage(request, storage, org.id),
            **_uploads(request, storage, org.id),
            "may_keep": request.actor.may("retention:write", org.id),
            "may_write": request.actor.may("projects:write", org.id),
        },
    )


def _storage(request: PageRequest, storage: StorageService, org_id: str) -> Mapping[str, ProjectStorage]:
    """Return project → storage; empty if the visitor may not see quotas."""
    if not request.actor.may("quotas:read", org_id):
        return {}
    return {one.project_id: one for one in storage.list_storage(request.actor, org_id)}


def _uploads(request: PageRequest, storage: StorageService, org_id: str) -> Mapping[str, object]:
    """Return a page of the uploads, newest first; none if the visitor may not see jobs."""
    if not request.actor.may("jobs:read", org_id):
        return {"uploads": None}
    found = storage.list_uploads(
        request.actor, org_id, before=request.query.get("before") or None, limit=PER_PAGE + 1
    )
    shown = found[:PER_PAGE]
    return {
        "uploads": [{**row, "by": login_of(row["owner"])} for row in shown],
        "before": shown[-1]["id"] if len(found) > PER_PAGE else None,
        "may_delete": request.actor.may("jobs:write", org_id),
    }


def keep(request: PageRequest, storage: StorageService) -> PageResponse:
    """Set the retention of outputs."""
    days = number_in(request, "days")
    if days is None or days != int(days):
        raise wrong("days", text("Give a whole number of days"))
    project = request.value("kept_project") or None
    storage.set_retention(request.actor, org_of(request).id, int(days), project=project)
    return Redirect(request.here, text("The retention of outputs is set"))


def add(request: PageRequest) -> PageResponse:
    """Create a project."""
    made = create_project(
        once(request), request.actor, org_of(request).id, request.value("project"), request.value("name")
    )
    return Redirect(request.here, text("Project {project} is created", project=made.slug))


PAGES = (
    ConsolePage(
        "/projects",
        text("Projects"),
        show,
        scope="projects:read",
        actions={"add": add, "keep": keep, "delete": delete_uploads},
        menu=MenuPlace(MenuGroup.ORGANISATION, 1, "folder", "p"),
    ),
)
