"""Page of builds: environments, images and sources that jobs wait for."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, View
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.services.builds import STATES, BuildsService


def show(request: PageRequest, builds: BuildsService) -> PageResponse:
    """Show the builds, newest first."""
    state = request.query.get("state")
    found = builds.list_builds(
        request.actor,
        org=request.org,
        state=state if state in STATES else None,
        before=request.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    several = request.org is None and request.actor.may("orgs:read")
    return View(
        "builds.html",
        {
            "builds": shown,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "states": tuple(STATES),
            "chosen": state if state in STATES else "",
            "org_slugs": org_slugs(request) if several else {},
        },
    )


PAGES = (
    ConsolePage(
        "/builds",
        text("Builds"),
        show,
        scope="jobs:read",
        menu=MenuPlace(MenuGroup.WORK, 3, "chip", "3"),
    ),
)
