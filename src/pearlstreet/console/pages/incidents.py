"""Page of incidents: rows on which background tasks fail or stopped retrying, and their retry."""

from __future__ import annotations

from pearlstreet.base.text import plural, text
from pearlstreet.console.noun_page import Button, NounPage, RowButton
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect
from pearlstreet.tenancy.incident_fields import INCIDENT_FIELDS
from pearlstreet.tenancy.incidents import Incident, list_incidents, retry_incidents

SHOWN = 200


def show(request: PageRequest) -> PageResponse:
    """Show incidents, with rows that were given up first."""
    found = list_incidents(request.store, request.actor, limit=SHOWN + 1)
    rows, may_retry = found[:SHOWN], request.actor.may("settings:write")
    retry_all = Button("retry", text("Retry all that were given up"))
    return NounPage(
        "/incidents",
        text("Incidents"),
        text("Background tasks that fail or stopped retrying."),
        INCIDENT_FIELDS,
        rows,
        empty=text("Nothing fails: all background tasks run."),
        note=text(
            "Failures are retried automatically, less and less often. After 5 failures caused by a program error a row is no"
            " longer retried, so that nothing gets worse: read the problem, then retry it or update the center."
        ),
        more=len(found) > SHOWN,
        buttons=(retry_all,) if may_retry and any(one.given_up for one in rows) else (),
        row_button=RowButton("retry", text("Try again"), ("loop", "row"), _given_up) if may_retry else None,
    ).view()


def _given_up(incident: Incident) -> bool:
    return incident.given_up


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
