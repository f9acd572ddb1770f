"""Page of incidents: rows on which background tasks fail or stopped retrying, and their retry."""

from __future__ import annotations

from pearlstreet.base.text import plural, text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.tenancy.incidents import list_incidents, retry_incidents

SHOWN = 200


def show(request: PageRequest) -> PageResponse:
    """Show incidents, with rows that were given up first."""
    found = list_incidents(request.store, request.actor, limit=SHOWN + 1)
    return View(
        "incidents.html",
        {
            "incidents": found[:SHOWN],
            "more": len(found) > SHOWN,
            "given_up": sum(one.given_up for one in found[:SHOWN]),
            "may_retry": request.actor.may("settings:write"),
        },
    )


def retry(request: PageRequest) -> PageResponse:
    """Retry one row, or all that were given up."""
    count = retry_incidents(
        request.store, request.actor, loop=request.value("loop") or None, row=request.value("row") or None
    )
    return Redirect(
        "/incidents", plural("{count} row is being retried", "{count} rows are being retried", count=count)
    )


PAGES = (
    ConsolePage(
        "/incidents",
        text("Incidents"),
        show,
        scope="settings:read",
        at_center=True,
        actions={"retry": retry},
        menu=MenuPlace(MenuGroup.CENTER, 13, "alert", "f"),
    ),
)
