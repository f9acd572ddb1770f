"""Page of the center's settings: description, billing, backups and sign-in."""

from __future__ import annotations

from dataclasses import asdict

from pearlstreet.base.text import text
from pearlstreet.center import list_backups, make_backup
from pearlstreet.console.form_parsing import number_in, wrong, yuan_in
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.routing import once
from pearlstreet.ledger.model import Party, Site
from pearlstreet.ledger.site import read_site, set_site
from pearlstreet.services.nodes import NodesService

BACKUPS_SHOWN = 20
PARTY = tuple(asdict(Party()))


def show(request: PageRequest, nodes: NodesService) -> PageResponse:
    """Show the settings."""
    request.actor.require("settings:read")
    center, may_back_up = request.center, request.actor.may("backup:write")
    backups = list_backups(center, request.actor) if may_back_up else ()
    return View(
        "settings.html",
        {
            "center": center,
            "engines": nodes.engines(),
            "site": request.store.read(read_site),
            "backups": backups[:BACKUPS_SHOWN],
            "backup_count": len(backups),
            "backs_up": may_back_up and center.backup is not None,
            "may_back_up": may_back_up,
            "may_write": request.actor.may("settings:write"),
            "address": center.public_url or request.origin,
        },
    )


def bill(request: PageRequest) -> PageResponse:
    """Set the billing settings."""
    percent = number_in(request, "tax_rate_percent")
    if percent is None or not 0 <= percent <= 50:
        raise wrong("tax_rate_percent", text("A tax rate is between 0 and 50 %"))
    basis_points = round(percent * 100)
    if abs(basis_points - percent * 100) > 1e-6:
        raise wrong("tax_rate_percent", text("A tax rate has at most two decimals"))
    site = Site(
        seller=Party(**{name: request.value(f"seller.{name}") for name in PARTY}),
        time_zone=request.value("time_zone"),
        tax_rate_bp=basis_points,
        approval_above=yuan_in(request, "approval_above"),
        invoice_prefix=request.value("invoice_prefix"),
    )
    set_site(request.store, request.actor, site)
    return Redirect("/settings", text("The billing settings are saved"))


def back_up(request: PageRequest) -> PageResponse:
    """Create a backup."""
    made = make_backup(request.center, once(request), request.actor)
    return Redirect("/settings", text("{file} is created", file=made.name))


PAGES = (
    ConsolePage(
        "/settings",
        text("Settings"),
        show,
        scope="settings:read",
        at_center=True,
        actions={"bill": bill, "backup": back_up},
        menu=MenuPlace(MenuGroup.CENTER, 15, "settings", "e"),
    ),
)
