"""Page of an organisation's members: create accounts, invite users, change roles and remove members."""

from __future__ import annotations

from typing import TypeVar

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.links import show_link
from pearlstreet.console.pages.org_scope import choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.tenancy import invitations, members, users
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

R = TypeVar("R", OrgRole, OperatorRole)


def show(request: PageRequest) -> PageResponse:
    """Show members and pending invitations."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    may_write = request.actor.may("users:write", org.id)
    return View(
        "members.html",
        {
            "org": org,
            "members": members.list_members(request.store, request.actor, org.id),
            "invitations": invitations.list_invitations(request.store, request.actor, org.id)
            if may_write
            else (),
            "roles": [role.value for role in OrgRole],
            "may_write": may_write,
            "has_mail": request.center.channels.mailer is not None,
        },
    )


def add(request: PageRequest) -> PageResponse:
    """Create an account as a member and show its one-time link once."""
    invited = users.create_user(
        once(request),
        request.actor,
        request.value("name"),
        display_name=request.value("display_name"),
        email=request.value("email") or None,
        org=org_of(request).id,
        role=role_of(request, OrgRole),
        per_day_max=request.center.rates.org_accounts_per_day,
    )
    return show_link(request, invited, request.here)


def invite(request: PageRequest) -> PageResponse:
    """Invite an existing user to take a role."""
    made = invitations.invite(
        once(request),
        request.actor,
        org_of(request).id,
        request.value("user"),
        role_of(request, OrgRole),
        has_mail=request.center.channels.mailer is not None,
    )
    return Redirect(request.here, text("{user} is invited", user=made.invitee))


def withdraw(request: PageRequest) -> PageResponse:
    """Withdraw an invitation."""
    found = invitations.withdraw_invitation(
        request.store, request.actor, org_of(request).id, request.value("invitation")
    )
    return Redirect(request.here, text("The invitation of {user} is withdrawn", user=found.invitee))


def set_role(request: PageRequest) -> PageResponse:
    """Change a member's role."""
    made = members.set_role(
        request.store, request.actor, org_of(request).id, request.value("member"), role_of(request, OrgRole)
    )
    return Redirect(request.here, text("The role of {user} is changed", user=made.user_name))


def remove(request: PageRequest) -> PageResponse:
    """Remove a member. The account stays."""
    members.remove_member(request.store, request.actor, org_of(request).id, request.value("member"))
    return Redirect(request.here, text("{user} is no longer a member", user=request.value("name")))


def role_of(request: PageRequest, kind: type[R], field: str = "role") -> R:
    """Return the role in a field of the form. Raises InvalidInput."""
    try:
        return kind(request.value(field))
    except ValueError:
        message = text("There is no role {role}", role=request.value(field)[:40])
        raise InvalidInput(message, problems=[Problem(field, message)]) from None


PAGES = (
    ConsolePage(
        "/members",
        text("Members"),
        show,
        scope="users:read",
        actions={"add": add, "invite": invite, "withdraw": withdraw, "role": set_role, "remove": remove},
        menu=MenuPlace(MenuGroup.ORGANISATION, 2, "users", "m"),
    ),
)
