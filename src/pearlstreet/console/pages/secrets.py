"""Page of an organisation's secrets. Values can be set but never read."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import delete_secret, list_secrets, set_secret


def show(request: PageRequest) -> PageResponse:
    """Show the names of the secrets."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    projects = list_projects(request.store, request.actor, org.id, limit=SHOWN_MAX)
    return View(
        "secrets.html",
        {
            "org": org,
            "secrets": list_secrets(request.store, request.actor, org.id),
            "projects": projects,
            "slugs": {project.id: project.slug for project in projects},
            "may_write": request.actor.may("secrets:write", org.id),
        },
    )


def keep(request: PageRequest) -> PageResponse:
    """Create or replace a secret with exactly the entered value."""
    made = set_secret(
        once(request),
        request.actor,
        org_of(request).id,
        request.value("name"),
        request.form.get("secret", "").replace("\r\n", "\n"),
        project=request.value("project") or None,
    )
    return Redirect(request.here, text("The secret {name} is saved", name=made.name))


def delete(request: PageRequest) -> PageResponse:
    """Delete a secret."""
    delete_secret(
        request.store,
        request.actor,
        org_of(request).id,
        request.value("name"),
        project=request.value("project") or None,
    )
    return Redirect(request.here, text("The secret {name} is deleted", name=request.value("name")))


PAGES = (
    ConsolePage(
        "/secrets",
        text("Secrets"),
        show,
        scope="secrets:read",
        actions={"keep": keep, "delete": delete},
        menu=MenuPlace(MenuGroup.ORGANISATION, 3, "lock", "x"),
    ),
)
