"""One's own organisations: invitations to answer, the default one, leaving."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.tenancy import invitations, members

PATH = "/memberships"


def show(ask: Ask) -> Answer:
    """Show invitations and memberships."""
    return View(
        "memberships.html",
        {
            "invitations": invitations.list_own_invitations(ask.store, ask.actor),
            "default_org": ask.actor.default_org,
        },
    )


def accept(ask: Ask) -> Answer:
    """Become a member."""
    made = invitations.accept_invitation(
        ask.store, ask.actor, ask.value("invitation"), as_default=ask.value("as_default") == "yes"
    )
    return Go(PATH, text("You belong to {org} now", org=made.org_slug))


def decline(ask: Ask) -> Answer:
    """Refuse an invitation."""
    found = invitations.decline_invitation(ask.store, ask.actor, ask.value("invitation"))
    return Go(PATH, text("The invitation of {org} is declined", org=found.org_slug))


def claim(ask: Ask) -> Answer:
    """Show an invitation that came by mail."""
    found = invitations.claim_invitation(ask.store, ask.actor, ask.value("code"))
    return Go(PATH, text("{org} invites you: accept or decline below", org=found.org_slug))


def choose_default(ask: Ask) -> Answer:
    """Choose where requests go that name no organisation."""
    chosen = members.set_default_org(ask.store, ask.actor, ask.value("membership") or None)
    if chosen is None:
        return Go(PATH, text("You have no default organisation now"))
    return Go(PATH, text("{org} is your default organisation now", org=chosen))


def leave(ask: Ask) -> Answer:
    """End one's own membership."""
    org = ask.value("membership")
    members.leave_org(ask.store, ask.actor, org)
    return Go(PATH, text("You are no member of {org} any more", org=org))


PAGES = (
    Page(
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
    ),
)
