"""Page of the planner's decisions and their replay."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, View
from pearlstreet.console.pages.policy import brief
from pearlstreet.services.scheduling import DecisionsService


def show(request: PageRequest, decisions: DecisionsService) -> PageResponse:
    """Show the recorded decisions, newest first."""
    return _page(request, decisions)


def replay(request: PageRequest, decisions: DecisionsService) -> PageResponse:
    """Replay a decision and show the differences."""
    found = decisions.replay_decision(request.actor, request.value("decision"))
    return _page(request, decisions, replayed=found)


def _page(request: PageRequest, decisions: DecisionsService, **more: object) -> View:
    found = decisions.list_decisions(
        request.actor, before=request.query.get("before") or None, limit=PER_PAGE + 1
    )
    shown = found[:PER_PAGE]
    values = {
        "decisions": shown,
        "brief": brief,
        "before": shown[-1].id if len(found) > PER_PAGE else None,
        "kept": decisions.kept,
        "dropped": decisions.dropped,
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
