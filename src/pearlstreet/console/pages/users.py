"""All accounts of the center: looked at by operators, changed by the security operator."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Go, View
from pearlstreet.console.pages.links import show_link
from pearlstreet.console.pages.members import role_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy import federation, sessions, users
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole


def show(ask: Ask) -> Answer:
    """The list, by age, or those whose name or title contains what is looked for."""
    found = users.list_users(
        ask.store,
        ask.actor,
        after=ask.query.get("after") or None,
        limit=PER_PAGE + 1,
        containing=ask.query.get("name", "")[:80],
    )
    shown = found[:PER_PAGE]
    return View(
        "users.html",
        {
            "users": shown,
            "after": shown[-1].id if len(found) > PER_PAGE else None,
            "may_write": ask.actor.may("users:write"),
            "duties": [role.value for role in OperatorRole],
        },
    )


def show_one(ask: Ask) -> Answer:
    """One account."""
    user = users.get_user(ask.store, ask.actor, ask.place["user"])
    may_write = ask.actor.may("users:write")
    return View(
        "user.html",
        {
            "user": user,
            "title": user.name,
            "may_write": may_write and user.id != ask.actor.user_id,
            "members": users.list_memberships_of(ask.store, ask.actor, user.id),
            "sessions": sessions.list_sessions(ask.store, ask.actor, user.id) if may_write else (),
            "identities": federation.list_identities(ask.store, ask.actor, user.id) if may_write else (),
            "duties": [("", ask.say(text("none")))]
            + [(role.value, ask.say(LABEL[role])) for role in OperatorRole],
        },
    )


LABEL = {
    OperatorRole.SYSTEM: text("system operator"),
    OperatorRole.SECURITY: text("security operator"),
    OperatorRole.AUDIT: text("audit operator"),
}


def create(ask: Ask) -> Answer:
    """A new account; its one-time link is shown once."""
    org, duty = ask.value("of_org"), ask.value("duty")
    invited = users.create_user(
        once(ask),
        ask.actor,
        ask.value("name"),
        display_name=ask.value("display_name"),
        email=ask.value("email") or None,
        org=org or None,
        role=role_of(ask, OrgRole) if org else OrgRole.MEMBER,
        operator_role=role_of(ask, OperatorRole, "duty") if duty else None,
        per_day_max=ask.center.rates.org_accounts_per_day,
    )
    return show_link(ask, invited, "/users")


def link(ask: Ask) -> Answer:
    """A fresh one-time link; earlier ones end."""
    return show_link(ask, users.issue_password_link(once(ask), ask.actor, ask.place["user"]), ask.path)


def suspend(ask: Ask) -> Answer:
    """Refuse everything."""
    found = users.suspend_user(ask.store, ask.actor, ask.place["user"], ask.value("reason"))
    return Go(ask.path, text("{user} is suspended", user=found.name))


def resume(ask: Ask) -> Answer:
    """Let in again."""
    found = users.resume_user(ask.store, ask.actor, ask.place["user"], ask.value("reason"))
    return Go(ask.path, text("{user} may sign in again", user=found.name))


def close(ask: Ask) -> Answer:
    """End for good."""
    found = users.close_user(ask.store, ask.actor, ask.place["user"], ask.value("reason"))
    return Go(ask.path, text("The account {user} is closed", user=found.name))


def set_duty(ask: Ask) -> Answer:
    """Give or take the one duty."""
    duty = role_of(ask, OperatorRole, "duty") if ask.value("duty") else None
    found = users.set_operator_role(ask.store, ask.actor, ask.place["user"], duty)
    return Go(ask.path, text("The duty of {user} is changed", user=found.name))


def end_session(ask: Ask) -> Answer:
    """End a session of theirs."""
    sessions.end_session(ask.store, ask.actor, ask.value("session"))
    return Go(ask.path, text("The session is ended"))


PAGES = (
    Page("/users", text("Users"), show, scope="users:read", at_center=True, actions={"create": create}),
    Page(
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
