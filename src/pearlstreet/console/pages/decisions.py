"""Page of the planner's decisions and their replay."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.compute.queueing.decisions import service
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, View
from pearlstreet.console.pages.policy import brief


def show(request: PageRequest) -> PageResponse:
    """Show the recorded decisions, newest first."""
    return _page(request)


def replay(request: PageRequest) -> PageResponse:
    """Replay a decision and show the differences."""
    found = service.replay_decision(
        request.store, request.actor, request.center.runtime, request.value("decision")
    )
    return _page(request, replayed=found)


def _page(request: PageRequest, **more: object) -> View:
    runtime = request.center.runtime
    found = service.list_decisions(
        request.actor, runtime, before=request.query.get("before") or None, limit=PER_PAGE + 1
    )
    shown = found[:PER_PAGE]
    values = {
        "decisions": shown,
        "brief": brief,
        "before": shown[-1].id if len(found) > PER_PAGE else None,
        "kept": runtime.decisions.settings,
        "dropped": runtime.decisions.dropped,
        "replayed": None,
        **more,
    }
    return View("decisions.html", values)


PAGES = (
    ConsolePage(
        "/decisions",
        text("Decisions of the planner"),
        show,
        scope="decisions:read",
        at_center=True,
        actions={"replay": replay},
        menu=MenuPlace(MenuGroup.CENTER, 8, "audit", "d", label=text("Decisions")),
    ),
)
