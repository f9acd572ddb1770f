"""An organisation's secrets: their names. A value goes in and never comes back."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import delete_secret, list_secrets, set_secret


def show(ask: Ask) -> Answer:
    """The names."""
    if (choice := choose_org(ask)) is not None:
        return choice
    org = org_of(ask)
    projects = list_projects(ask.store, ask.actor, org.id, limit=SHOWN_MAX)
    return View(
        "secrets.html",
        {
            "org": org,
            "secrets": list_secrets(ask.store, ask.actor, org.id),
            "projects": projects,
            "slugs": {project.id: project.slug for project in projects},
            "may_write": ask.actor.may("secrets:write", org.id),
        },
    )


def keep(ask: Ask) -> Answer:
    """Keep or replace a value, exactly as it was typed."""
    made = set_secret(
        once(ask),
        ask.actor,
        org_of(ask).id,
        ask.value("name"),
        ask.form.get("secret", "").replace("\r\n", "\n"),
        project=ask.value("project") or None,
    )
    return Go(ask.here, text("The secret {name} is kept", name=made.name))


def delete(ask: Ask) -> Answer:
    """Forget one."""
    delete_secret(
        ask.store, ask.actor, org_of(ask).id, ask.value("name"), project=ask.value("project") or None
    )
    return Go(ask.here, text("The secret {name} is deleted", name=ask.value("name")))


PAGES = (
    Page("/secrets", text("Secrets"), show, scope="secrets:read", actions={"keep": keep, "delete": delete}),
)
