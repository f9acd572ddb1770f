"""The organisation that a page shows: the visitor's own or, for operators, the chosen one."""

from __future__ import annotations

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import text
from pearlstreet.console.page_request import PageRequest, View
from pearlstreet.tenancy.model import Organisation
from pearlstreet.tenancy.orgs import get_org, list_orgs

SHOWN_MAX = 1000


def org_of(request: PageRequest) -> Organisation:
    """Return the organisation that the page shows. Raises NotFound, and Conflict if the visitor must choose one."""
    if request.org is None and request.memberships:
        raise Conflict(
            text("Choose an organisation; you have no default one"),
            hint=text("Choose it at the top of the page, or a default one under My organisations"),
        )
    if request.org is None:
        raise NotFound(text("You belong to no organisation"), hint=text("An owner of one can invite you"))
    return get_org(request.store, request.actor, request.org)


def choose_org(request: PageRequest) -> View | None:
    """Return the view to choose an organisation, or None if one is chosen or there is none to choose."""
    if request.org is not None or not (request.is_operator() or request.memberships):
        return None
    return View("choose_org.html", {"orgs": list_orgs(request.store, request.actor, limit=SHOWN_MAX)})
