"""The planner's decisions: what each cycle did, and whether planning it again comes to the same."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.text import text
from pearlstreet.compute.jobs.decisions import service
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, View
from pearlstreet.console.pages.policy import brief


def show(ask: Ask) -> Answer:
    """Decisions that are kept, newest first."""
    return _page(ask)


def replay(ask: Ask) -> Answer:
    """Plan one again."""
    found = service.replay_decision(ask.store, ask.actor, ask.center.runtime, ask.value("decision"))
    return _page(ask, replayed=found)


def _page(ask: Ask, **more: Any) -> View:
    runtime = ask.center.runtime
    found = service.list_decisions(
        ask.actor, runtime, before=ask.query.get("before") or None, limit=PER_PAGE + 1
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
    Page(
        "/decisions",
        text("Decisions of the planner"),
        show,
        scope="decisions:read",
        at_center=True,
        actions={"replay": replay},
    ),
)
