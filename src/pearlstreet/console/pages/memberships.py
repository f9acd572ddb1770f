"""Page of the visitor's organisations: invitations, the default organisation and leaving."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.tenancy import invitations, members

PATH = "/memberships"


def show(request: PageRequest) -> PageResponse:
    """Show invitations and memberships."""
    return View(
        "memberships.html",
        {
            "invitations": invitations.list_own_invitations(request.store, request.actor),
            "default_org": request.actor.default_org,
        },
    )


def accept(request: PageRequest) -> PageResponse:
    """Accept an invitation."""
    made = invitations.accept_invitation(
        request.store,
        request.actor,
        request.value("invitation"),
        as_default=request.value("as_default") == "yes",
    )
    return Redirect(PATH, text("You are now a member of {org}", org=made.org_slug))


def decline(request: PageRequest) -> PageResponse:
    """Decline an invitation."""
    found = invitations.decline_invitation(request.store, request.actor, request.value("invitation"))
    return Redirect(PATH, text("The invitation of {org} is declined", org=found.org_slug))


def claim(request: PageRequest) -> PageResponse:
    """Assign an invitation received by mail to the visitor."""
    found = invitations.claim_invitation(request.store, request.actor, request.value("code"))
    return Redirect(PATH, text("{org} invites you: accept or decline below", org=found.org_slug))


def choose_default(request: PageRequest) -> PageResponse:
    """Set the visitor's default organisation."""
    chosen = members.set_default_org(request.store, request.actor, request.value("membership") or None)
    if chosen is None:
        return Redirect(PATH, text("You have no default organisation now"))
    return Redirect(PATH, text("{org} is your default organisation now", org=chosen))


def leave(request: PageRequest) -> PageResponse:
    """Leave an organisation."""
    org = request.value("membership")
    members.leave_org(request.store, request.actor, org)
    return Redirect(PATH, text("You are no longer a member of {org}", org=org))


PAGES = (
    ConsolePage(
        PATH,
        text("My organisations"),
        show,
        scope="membership:own",
        actions={
            "accept": accept,
            "decline": decline,
            "claim": claim,
            "default": choose_default,
            "leave": leave,
        },
        menu=MenuPlace(MenuGroup.ORGANISATION, 7, "building", "2"),
    ),
)
