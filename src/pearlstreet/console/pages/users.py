"""Pages of all user accounts, shown to operators and changed by security operators."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.links import show_link
from pearlstreet.console.pages.members import role_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy import federation, sessions, users
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole


def show(request: PageRequest) -> PageResponse:
    """Show the accounts, oldest first, filtered by a part of the name or display name."""
    found = users.list_users(
        request.store,
        request.actor,
        after=request.query.get("after") or None,
        limit=PER_PAGE + 1,
        containing=request.query.get("name", "")[:80],
    )
    shown = found[:PER_PAGE]
    return View(
        "users.html",
        {
            "users": shown,
            "after": shown[-1].id if len(found) > PER_PAGE else None,
            "may_write": request.actor.may("users:write"),
            "duties": [role.value for role in OperatorRole],
        },
    )


def show_one(request: PageRequest) -> PageResponse:
    """Show one account."""
    user = users.get_user(request.store, request.actor, request.path_params["user"])
    may_write = request.actor.may("users:write")
    return View(
        "user.html",
        {
            "user": user,
            "title": user.name,
            "may_write": may_write and user.id != request.actor.user_id,
            "members": users.list_memberships_of(request.store, request.actor, user.id),
            "sessions": sessions.list_sessions(request.store, request.actor, user.id) if may_write else (),
            "identities": federation.list_identities(request.store, request.actor, user.id)
            if may_write
            else (),
            "duties": [("", request.say(text("none")))]
            + [(role.value, request.say(LABEL[role])) for role in OperatorRole],
        },
    )


LABEL = {
    OperatorRole.SYSTEM: text("system operator"),
    OperatorRole.SECURITY: text("security operator"),
    OperatorRole.AUDIT: text("audit operator"),
}


def create(request: PageRequest) -> PageResponse:
    """Create an account and show its one-time link once."""
    org, duty = request.value("of_org"), request.value("duty")
    invited = users.create_user(
        once(request),
        request.actor,
        request.value("name"),
        display_name=request.value("display_name"),
        email=request.value("email") or None,
        org=org or None,
        role=role_of(request, OrgRole) if org else OrgRole.MEMBER,
        operator_role=role_of(request, OperatorRole, "duty") if duty else None,
        per_day_max=request.center.rates.org_accounts_per_day,
    )
    return show_link(request, invited, "/users")


def link(request: PageRequest) -> PageResponse:
    """Create a one-time link to set the password; earlier links become invalid."""
    return show_link(
        request,
        users.issue_password_link(once(request), request.actor, request.path_params["user"]),
        request.path,
    )


def suspend(request: PageRequest) -> PageResponse:
    """Suspend an account."""
    found = users.suspend_user(
        request.store, request.actor, request.path_params["user"], request.value("reason")
    )
    return Redirect(request.path, text("{user} is suspended", user=found.name))


def resume(request: PageRequest) -> PageResponse:
    """Resume a suspended account."""
    found = users.resume_user(
        request.store, request.actor, request.path_params["user"], request.value("reason")
    )
    return Redirect(request.path, text("{user} may sign in again", user=found.name))


def close(request: PageRequest) -> PageResponse:
    """Close an account permanently."""
    found = users.close_user(
        request.store, request.actor, request.path_params["user"], request.value("reason")
    )
    return Redirect(request.path, text("The account {user} is closed", user=found.name))


def set_duty(request: PageRequest) -> PageResponse:
    """Set or remove a user's operator role."""
    duty = role_of(request, OperatorRole, "duty") if request.value("duty") else None
    found = users.set_operator_role(request.store, request.actor, request.path_params["user"], duty)
    return Redirect(request.path, text("The operator role of {user} is changed", user=found.name))


def end_session(request: PageRequest) -> PageResponse:
    """End a session of the user."""
    sessions.end_session(request.store, request.actor, request.value("session"))
    return Redirect(request.path, text("The session is ended"))


PAGES = (
    ConsolePage(
        "/users",
        text("Users"),
        show,
        scope="users:read",
        at_center=True,
        actions={"create": create},
        menu=MenuPlace(MenuGroup.ORGANISATION, 5, "user", "u"),
    ),
    ConsolePage(
        "/users/{user}",
        text("User"),
        show_one,
        scope="users:read",
        at_center=True,
        actions={
            "link": link,
            "suspend": suspend,
            "resume": resume,
            "close": close,
            "duty": set_duty,
            "end": end_session,
        },
    ),
)
