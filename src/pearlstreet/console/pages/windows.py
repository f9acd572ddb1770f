"""Maintenance and reservations: what is kept free, from when to when, for whom and why."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.compute.jobs.windows import service
from pearlstreet.compute.jobs.windows.model import WindowKind, WindowWish
from pearlstreet.console.form_parsing import moment_in, number_in, text_in, wrong
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Go, View
from pearlstreet.ledger.site import read_site
from pearlstreet.tenancy.directory import org_names
from pearlstreet.tenancy.orgs import list_orgs

ORGS_OFFERED = 1000


def show(ask: Ask) -> Answer:
    """Windows that are open, or all there were."""
    over = ask.query.get("over") == "yes"
    found = service.list_windows(
        ask.store, ask.actor, over=over, before=ask.query.get("before") or None, limit=PER_PAGE + 1
    )
    shown = found[:PER_PAGE]
    may_write = ask.actor.may("scheduling:write")
    return View(
        "windows.html",
        {
            "windows": shown,
            "now_us": ask.store.clock.now_us(),
            "over": over,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "names": org_names(ask.store, ask.actor, (one.org_id for one in shown if one.org_id)),
            "may_write": may_write,
            "zone": ask.store.read(read_site).time_zone,
            "offered": list_orgs(ask.store, ask.actor, limit=ORGS_OFFERED) if may_write else (),
        },
    )


def make_window(ask: Ask) -> Answer:
    """Set one up."""
    zone = ask.store.read(read_site).time_zone
    until_us = moment_in(ask, "until", zone)
    if until_us is None:
        raise wrong("until", text("Say when it ends"))
    cards = number_in(ask, "cards")
    kind = WindowKind.RESERVATION if ask.value("kind") == "reservation" else WindowKind.MAINTENANCE
    wish = WindowWish(
        kind=kind,
        until_us=until_us,
        from_us=moment_in(ask, "from", zone),
        nodes=tuple(ask.value("nodes").replace(",", " ").split()),
        model=ask.value("model") or None,
        cards=None if cards is None else int(cards) if cards.is_integer() else -1,
        org=ask.value("window_org") or None,
        reason=text_in(ask, "reason", 500),
    )
    service.make_window(ask.store, ask.actor, wish)
    if kind is WindowKind.RESERVATION:
        return Go("/windows", text("The reservation is set up"))
    return Go("/windows", text("The maintenance is set up; whose jobs it will stop is told"))


def end_window(ask: Ask) -> Answer:
    """Take one back, or end it early."""
    service.end_window(ask.store, ask.actor, ask.value("window"))
    return Go("/windows", text("The window is over"))


PAGES = (
    Page(
        "/windows",
        text("Maintenance and reservations"),
        show,
        scope="scheduling:read",
        actions={"make": make_window, "end": end_window},
    ),
)
