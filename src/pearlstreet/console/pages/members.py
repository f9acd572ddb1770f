"""Members of an organisation: create an account, invite, change a role, remove."""

from __future__ import annotations

from typing import TypeVar

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.console.pages.links import show_link
from pearlstreet.console.pages.org_scope import choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy import invitations, members, users
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

R = TypeVar("R", OrgRole, OperatorRole)


def show(ask: Ask) -> Answer:
    """The list."""
    if (choice := choose_org(ask)) is not None:
        return choice
    org = org_of(ask)
    may_write = ask.actor.may("users:write", org.id)
    return View(
        "members.html",
        {
            "org": org,
            "members": members.list_members(ask.store, ask.actor, org.id),
            "invitations": invitations.list_invitations(ask.store, ask.actor, org.id) if may_write else (),
            "roles": [role.value for role in OrgRole],
            "may_write": may_write,
            "has_mail": ask.center.channels.mailer is not None,
        },
    )


def add(ask: Ask) -> Answer:
    """A new account as a member; its one-time link is shown once."""
    invited = users.create_user(
        once(ask),
        ask.actor,
        ask.value("name"),
        display_name=ask.value("display_name"),
        email=ask.value("email") or None,
        org=org_of(ask).id,
        role=role_of(ask, OrgRole),
        per_day_max=ask.center.rates.org_accounts_per_day,
    )
    return show_link(ask, invited, ask.here)


def invite(ask: Ask) -> Answer:
    """Offer a role to somebody who has an account."""
    made = invitations.invite(
        once(ask),
        ask.actor,
        org_of(ask).id,
        ask.value("user"),
        role_of(ask, OrgRole),
        has_mail=ask.center.channels.mailer is not None,
    )
    return Go(ask.here, text("{user} is invited", user=made.invitee))


def withdraw(ask: Ask) -> Answer:
    """Take an invitation back."""
    found = invitations.withdraw_invitation(ask.store, ask.actor, org_of(ask).id, ask.value("invitation"))
    return Go(ask.here, text("The invitation of {user} is withdrawn", user=found.invitee))


def set_role(ask: Ask) -> Answer:
    """Another role."""
    made = members.set_role(ask.store, ask.actor, org_of(ask).id, ask.value("member"), role_of(ask, OrgRole))
    return Go(ask.here, text("The role of {user} is changed", user=made.user_name))


def remove(ask: Ask) -> Answer:
    """End the membership; the account stays."""
    members.remove_member(ask.store, ask.actor, org_of(ask).id, ask.value("member"))
    return Go(ask.here, text("{user} is no member any more", user=ask.value("name")))


def role_of(ask: Ask, kind: type[R], field: str = "role") -> R:
    """The role that was chosen in a form. Raises InvalidInput."""
    try:
        return kind(ask.value(field))
    except ValueError:
        message = text("There is no role {role}", role=ask.value(field)[:40])
        raise InvalidInput(message, problems=[Problem(field, message)]) from None


PAGES = (
    Page(
        "/members",
        text("Members"),
        show,
        scope="users:read",
        actions={"add": add, "invite": invite, "withdraw": withdraw, "role": set_role, "remove": remove},
    ),
)
