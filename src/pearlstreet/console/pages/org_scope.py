"""Which organisation a page is about: the visitor's own, or for an operator the one they choose."""

from __future__ import annotations

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import text
from pearlstreet.console.page_request import Ask, View
from pearlstreet.tenancy.model import Organisation
from pearlstreet.tenancy.orgs import get_org, list_orgs

SHOWN_MAX = 1000


def org_of(ask: Ask) -> Organisation:
    """The organisation in question. Raises NotFound."""
    if ask.org is None and ask.memberships:
        raise Conflict(
            text("Choose the organisation that this is about; you have no default one"),
            hint=text("Choose it at the top of the page, or a default one under My organisations"),
        )
    if ask.org is None:
        raise NotFound(text("You belong to no organisation"), hint=text("An owner of one can invite you"))
    return get_org(ask.store, ask.actor, ask.org)


def choose_org(ask: Ask) -> View | None:
    """Return the list to choose from, for an operator, or a member without a default one, who has not said which."""
    if ask.org is not None or not (ask.is_operator() or ask.memberships):
        return None
    return View("choose_org.html", {"orgs": list_orgs(ask.store, ask.actor, limit=SHOWN_MAX)})
