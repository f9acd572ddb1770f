"""Page of queues: their settings and the organisations that may use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pearlstreet.base.text import text
from pearlstreet.compute.scheduling.config import QueuePolicy
from pearlstreet.console.form_parsing import number_in, text_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.policy import described, pairs, plain, rows
from pearlstreet.services.nodes import NodesService
from pearlstreet.services.scheduling import QUEUE_SETTINGS, PolicyService, QueueView, QueueWish, choices
from pearlstreet.tenancy.directory import org_names, project_names


def show(request: PageRequest, policy: PolicyService, nodes: NodesService) -> PageResponse:
    """Show the queues that the visitor may use, and for operators a form."""
    found = policy.list_queues(request.actor)
    may_write = request.actor.may("scheduling:write")
    place_of = _places(request, found)
    chosen = next((one for one in found if one.name == request.query.get("queue")), None)
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
            "engines": "\n".join(chosen.engines) if chosen else "",
            "known_engines": ", ".join(sorted(nodes.engines())),
        },
    )


def _row(view: QueueView) -> dict[str, object]:
    own = [
        {"title": described(name)[0], "name": name, "value": plain(value)}
        for name in QUEUE_SETTINGS
        if (value := getattr(view.policy, name)) is not None
    ]
    return {"view": view, "own": own}


def _places(request: PageRequest, found: Sequence[QueueView]) -> Callable[[tuple[str, str]], str]:
    pairs = [pair for view in found for pair in view.allowed]
    orgs = org_names(request.store, request.actor, (org for org, _ in pairs))
    projects = project_names(request.store, request.actor, (project for _, project in pairs if project))

    def name(pair: tuple[str, str]) -> str:
        org, project = pair
        shown = orgs.get(org, org)
        return f"{shown}/{projects.get(project, project)}" if project else shown

    return name


def set_queue(request: PageRequest, policy: PolicyService) -> PageResponse:
    """Create or change a queue."""
    rank = number_in(request, "rank")
    if rank is not None and not rank.is_integer():
        raise wrong("rank", text("{value} is not a whole number", value=request.value("rank")[:40]))
    settings = {name: _typed(request, name) for name in QUEUE_SETTINGS if name in request.form}
    allowed = [line.strip() for line in request.value("allowed").splitlines() if line.strip()]
    engines = [line.strip() for line in request.value("engines").splitlines() if line.strip()]
    name = request.value("name")
    wish = QueueWish(int(rank or 0), text_in(request, "title", 200), settings, allowed, engines)
    policy.set_queue(request.actor, name, wish, note=request.value("note"))
    return Redirect("/queues", text("The queue {queue} is set", queue=name))


def _typed(request: PageRequest, name: str) -> object:
    """Return the entered value of a queue's setting; None: as in the center's policy."""
    if choices(name):
        return request.value(name) or None
    return number_in(request, name)


def remove_queue(request: PageRequest, policy: PolicyService) -> PageResponse:
    """Delete a queue."""
    name = request.value("queue")
    policy.remove_queue(request.actor, name)
    return Redirect("/queues", text("The queue {queue} is deleted", queue=name))


PAGES = (
    ConsolePage(
        "/queues",
        text("Queues"),
        show,
        scope="scheduling:read",
        actions={"set": set_queue, "remove": remove_queue},
        menu=MenuPlace(MenuGroup.CENTER, 6, "jobs", "w"),
    ),
)
