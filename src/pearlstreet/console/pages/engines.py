"""Pages of engines: the list, and one engine with what it can do, its state and its checks."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, View
from pearlstreet.services.engines import CHECK, CORRECT, EnginesService, Reconciliation

PLACEMENTS: dict[str, Text] = {
    "device": text("nodes and devices by the center"),
    "node": text("nodes by the center"),
    "engine": text("left to the engine"),
}


def show(request: PageRequest, engines: EnginesService) -> PageResponse:
    """Show the engines by name."""
    found = engines.list_engines(request.actor)
    return View("engines.html", {"engines": found, "is_operator": any(one.details for one in found)})


def show_one(request: PageRequest, engines: EnginesService) -> PageResponse:
    """Show one engine."""
    return _one(request, engines, None)


def check(request: PageRequest, engines: EnginesService) -> PageResponse:
    """Run the checks of an engine and show their results."""
    return _one(request, engines, engines.check_engine(request.actor, request.path_params["engine"]))


def reconcile(request: PageRequest, engines: EnginesService) -> PageResponse:
    """Compare metered time with the accounting of the engine's cluster."""
    found = engines.reconcile_engine(request.actor, request.path_params["engine"])
    return _one(request, engines, None, found)


def correct(request: PageRequest, engines: EnginesService) -> PageResponse:
    """Compare, and correct the charges of attempts that differ."""
    found = engines.reconcile_engine(request.actor, request.path_params["engine"], correct=True)
    return _one(request, engines, None, found)


def _one(
    request: PageRequest,
    engines: EnginesService,
    checks: Sequence[EngineCheck] | None,
    reconciled: Reconciliation | None = None,
) -> View:
    engine = engines.get_engine(request.actor, request.path_params["engine"])
    return View(
        "engine.html",
        {
            "title": engine.name,
            "engine": engine,
            "checks": checks,
            "placements": PLACEMENTS,
            "may_check": request.actor.may(CHECK),
            "reconciled": reconciled,
            "has_accounts": engines.has_accounts(engine.name),
            "may_correct": request.actor.may(CORRECT),
        },
    )


PAGES = (
    ConsolePage(
        "/engines",
        text("Engines"),
        show,
        scope="nodes:read",
        menu=MenuPlace(MenuGroup.CENTER, 2, "nodes", "w"),
    ),
    ConsolePage(
        "/engines/{engine}",
        text("Engine"),
        show_one,
        scope="nodes:read",
        actions={"check": check, "reconcile": reconcile, "correct": correct},
    ),
)
