"""Page of maintenance windows and reservations."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.form_parsing import moment_in, number_in, text_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.ledger.site import read_site
from pearlstreet.services.scheduling import WindowKind, WindowsService, WindowWish
from pearlstreet.tenancy.directory import org_names
from pearlstreet.tenancy.orgs import list_orgs

ORGS_OFFERED = 1000


def show(request: PageRequest, windows: WindowsService) -> PageResponse:
    """Show current and future windows, or all of them."""
    over = request.query.get("over") == "yes"
    found = windows.list_windows(
        request.actor,
        over=over,
        before=request.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    may_write = request.actor.may("scheduling:write")
    return View(
        "windows.html",
        {
            "windows": shown,
            "now_us": request.store.clock.now_us(),
            "over": over,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "names": org_names(request.store, request.actor, (one.org_id for one in shown if one.org_id)),
            "may_write": may_write,
            "zone": request.store.read(read_site).time_zone,
            "offered": list_orgs(request.store, request.actor, limit=ORGS_OFFERED) if may_write else (),
        },
    )


def make_window(request: PageRequest, windows: WindowsService) -> PageResponse:
    """Create a maintenance window or a reservation."""
    zone = request.store.read(read_site).time_zone
    until_us = moment_in(request, "until", zone)
    if until_us is None:
        raise wrong("until", text("Enter the end"))
    cards = number_in(request, "cards")
    kind = WindowKind.RESERVATION if request.value("kind") == "reservation" else WindowKind.MAINTENANCE
    wish = WindowWish(
        kind=kind,
        until_us=until_us,
        from_us=moment_in(request, "from", zone),
        nodes=tuple(request.value("nodes").replace(",", " ").split()),
        engine=request.value("engine") or None,
        model=request.value("model") or None,
        cards=None if cards is None else int(cards) if cards.is_integer() else -1,
        org=request.value("window_org") or None,
        reason=text_in(request, "reason", 500),
    )
    windows.make_window(request.actor, wish)
    if kind is WindowKind.RESERVATION:
        return Redirect("/windows", text("The reservation is set up"))
    return Redirect("/windows", text("The maintenance is set up; owners of affected jobs are notified"))


def end_window(request: PageRequest, windows: WindowsService) -> PageResponse:
    """Cancel a window or end it early."""
    windows.end_window(request.actor, request.value("window"))
    return Redirect("/windows", text("The window is ended"))


PAGES = (
    ConsolePage(
        "/windows",
        text("Maintenance and reservations"),
        show,
        scope="scheduling:read",
        actions={"make": make_window, "end": end_window},
        menu=MenuPlace(MenuGroup.CENTER, 7, "nodes", "v", label=text("Maintenance")),
    ),
)
