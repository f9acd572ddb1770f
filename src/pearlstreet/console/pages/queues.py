"""Queues that jobs may name: what they have of their own, and who may use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pearlstreet.base.text import text
from pearlstreet.compute.jobs.policy import service
from pearlstreet.compute.jobs.policy.model import QUEUE_SETTINGS, choices
from pearlstreet.compute.jobs.policy.service import QueueView, QueueWish
from pearlstreet.compute.scheduling.config import QueuePolicy
from pearlstreet.console.form_parsing import number_in, text_in, wrong
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.console.pages.policy import described, pairs, plain, rows
from pearlstreet.tenancy.directory import org_names, project_names


def show(ask: Ask) -> Answer:
    """Every queue that is open to the visitor; for operators a form beside them."""
    found = service.list_queues(ask.store, ask.actor, ask.center.runtime)
    may_write = ask.actor.may("scheduling:write")
    place_of = _places(ask, found)
    chosen = next((one for one in found if one.name == ask.query.get("queue")), None)
    return View(
        "queues.html",
        {
            "queues": [_row(one) for one in found],
            "place_of": place_of,
            "may_write": may_write,
            "pairs": pairs,
            "chosen": chosen,
            "fields": rows(chosen.policy if chosen else QueuePolicy(""), QUEUE_SETTINGS) if may_write else (),
            "allowed": "\n".join(map(place_of, chosen.allowed)) if chosen else "",
        },
    )


def _row(view: QueueView) -> dict[str, Any]:
    own = [
        {"title": described(name)[0], "name": name, "value": plain(value)}
        for name in QUEUE_SETTINGS
        if (value := getattr(view.policy, name)) is not None
    ]
    return {"view": view, "own": own}


def _places(ask: Ask, found: Sequence[QueueView]) -> Any:
    pairs = [pair for view in found for pair in view.allowed]
    orgs = org_names(ask.store, ask.actor, (org for org, _ in pairs))
    projects = project_names(ask.store, ask.actor, (project for _, project in pairs if project))

    def name(pair: tuple[str, str]) -> str:
        org, project = pair
        shown = orgs.get(org, org)
        return f"{shown}/{projects.get(project, project)}" if project else shown

    return name


def set_queue(ask: Ask) -> Answer:
    """Set one up, or change one."""
    rank = number_in(ask, "rank")
    if rank is not None and not rank.is_integer():
        raise wrong("rank", text("{value} is not a whole number", value=ask.value("rank")[:40]))
    settings = {name: _typed(ask, name) for name in QUEUE_SETTINGS if name in ask.form}
    allowed = [line.strip() for line in ask.value("allowed").splitlines() if line.strip()]
    name = ask.value("name")
    wish = QueueWish(int(rank or 0), text_in(ask, "title", 200), settings, allowed)
    service.set_queue(ask.store, ask.actor, ask.center.runtime, name, wish, note=ask.value("note"))
    return Go("/queues", text("The queue {queue} is set", queue=name))


def _typed(ask: Ask, name: str) -> Any:
    """A queue's own value; None: as the center."""
    if choices(name):
        return ask.value(name) or None
    return number_in(ask, name)


def remove_queue(ask: Ask) -> Answer:
    """Take one away."""
    name = ask.value("queue")
    service.remove_queue(ask.store, ask.actor, ask.center.runtime, name)
    return Go("/queues", text("The queue {queue} is gone", queue=name))


PAGES = (
    Page(
        "/queues",
        text("Queues"),
        show,
        scope="scheduling:read",
        actions={"set": set_queue, "remove": remove_queue},
    ),
)
