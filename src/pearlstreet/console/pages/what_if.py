"""Pages of what-if simulations: recent jobs on other nodes, or under another policy, quota, queue or window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from markupsafe import Markup

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import Text, text
from pearlstreet.charts.curves import Curve, curves
from pearlstreet.compute.scheduling.registry import kinds
from pearlstreet.compute.whatif import service
from pearlstreet.compute.whatif.service import OPEN, WhatIf, WhatIfQuestion
from pearlstreet.console.form_parsing import number_in
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.services.scheduling import PolicyService

POLICIES = 2
FIELDS = {"policies": "order_1", "quotas": "quota_of", "queues": "queue_name", "windows": "window_kind"}
"""Part of the question → field of the form at which its problems are shown."""
STATES: dict[str, Text] = {
    "waiting": text("waiting"),
    "running": text("is being played"),
    "done": text("answered"),
    "failed": text("failed"),
    "stopped": text("stopped"),
}
_OVER_TIME: tuple[tuple[str, Text, float, str], ...] = (
    ("cards", text("Cards in use"), 100.0, " %"),
    ("waiting", text("Jobs that wait"), 1.0, ""),
)


def show(request: PageRequest, policy: PolicyService) -> PageResponse:
    """Show the simulations and the form for a new one."""
    return View(
        "what_ifs.html",
        {
            "found": service.list_what_ifs(request.store, request.actor, request.org),
            "said": _said(request),
            "kinds": kinds(),
            "rules": policy.rules(),
            "queues": _queues(request, policy),
            "whose": request.org,
            "open": OPEN,
        },
    )


def _queues(request: PageRequest, policy: PolicyService) -> list[str]:
    if not request.actor.may("scheduling:read"):
        return []
    return [queue.name for queue in policy.list_queues(request.actor)]


def _said(request: PageRequest) -> Callable[[WhatIf], str]:
    return lambda found: request.say(STATES[found.state])


def ask_one(request: PageRequest) -> PageResponse:
    """Start a what-if simulation."""
    days = number_in(request, "days")
    policies = []
    for number in range(1, POLICIES + 1):
        parts = [
            f"{kind}={request.value(f'{kind}_{number}')}"
            for kind in ("order", "backfill", "preemption")
            if request.value(f"{kind}_{number}")
        ]
        if parts:
            policies.append(",".join(parts))
    question = WhatIfQuestion(
        int(days) if days is not None and days.is_integer() else 0,
        tuple(policies),
        request.value("cluster"),
        request.value("extra"),
        request.value("less"),
        _one(_quota(request)),
        _one(_queue(request)),
        _one(_window(request)),
    )
    try:
        made = service.ask_what_if(request.store, request.actor, question, request.org)
    except InvalidInput as error:
        shown = [replace(one, field=FIELDS.get(one.field, one.field)) for one in error.problems]
        raise InvalidInput(error.message, hint=error.hint, problems=shown) from None
    return Redirect(f"/what-if/{made.id}", text("The simulation is started"))


def _one(said: str) -> tuple[str, ...]:
    return (said,) if said else ()


def _settings(request: PageRequest, **fields: str) -> list[str]:
    """Return the filled fields as `name=value`, with commas replaced because they separate settings."""
    typed = {name: request.value(field).replace(",", " ") for name, field in fields.items()}
    return [f"{name}={value}" for name, value in typed.items() if value]


def _quota(request: PageRequest) -> str:
    """Return the quota in the form as text of a question; empty if none is given."""
    owner = request.value("quota_of").replace(",", " ")
    limits = _settings(request, guaranteed="quota_guaranteed", maximum="quota_maximum")
    if not (owner or limits):
        return ""
    borrow = ["borrow=no"] if limits and request.value("quota_borrow") == "no" else []
    return ",".join([f"{owner}:{request.value('quota_resource') or 'cards'}", *(limits or ["off"]), *borrow])


def _queue(request: PageRequest) -> str:
    """Return the queue in the form as text of a question; empty if none is given."""
    fields = {name: f"queue_{name}" for name in ("rank", "order", "backfill", "preemption")}
    parts = [request.value("queue_name").replace(",", " "), *_settings(request, **fields)]
    return ",".join(parts) if any(parts) else ""


def _window(request: PageRequest) -> str:
    """Return the window in the form as text of a question; empty if none is given."""
    if request.value("window_kind") not in ("maintenance", "reservation"):
        return ""
    nodes = "|".join(request.value("window_nodes").replace(",", " ").split())
    fields = {"org": "window_org", "model": "window_model", "cards": "window_cards"}
    times = {"from": "window_from", "for": "window_for"}
    return ",".join([
        request.value("window_kind"),
        *([f"nodes={nodes}"] if nodes else []),
        *_settings(request, **fields, **times),
    ])  # fmt: skip


def show_one(request: PageRequest) -> PageResponse:
    """Show one simulation with the results of its cases side by side."""
    found = service.get_what_if(request.store, request.actor, request.path_params["what_if"])
    return View(
        "what_if.html",
        {
            "one": found,
            "said": _said(request),
            "is_open": found.state in OPEN,
            "cases": found.result["cases"] if found.result else (),
            "rows": _figures(request, found),
            "actual": found.result.get("actual") if found.result else None,
            "differs": found.result is None or found.result.get("differs", True),
            "charts": _charts(request, found),
        },
    )


def _figures(request: PageRequest, found: WhatIf) -> list[tuple[str, list[str]]]:
    """Return the name of each figure and its value in each case."""
    if not found.result:
        return []
    shown = found.result["figures"]
    columns = list(shown.get(request.language) or shown["en"])
    if actual := found.result.get("actual"):  # answers stored by older versions have no actual figures
        columns.insert(0, actual["figures"].get(request.language) or actual["figures"]["en"])
    return [(name, [column[i][1] for column in columns]) for i, (name, _) in enumerate(columns[0])]


def _charts(request: PageRequest, found: WhatIf) -> list[Markup]:
    if not found.result:
        return []
    cases = found.result["cases"]
    empty = request.say(text("There is nothing to show"))
    charts = []
    for name, title, factor, unit in _OVER_TIME:
        series = [
            Curve(
                case["name"],
                [
                    (at, value * factor)
                    for at, value in zip(case["curves"]["at_s"], case["curves"][name], strict=True)
                ],
            )
            for case in cases
        ]
        charts.append(curves(request.say(title), series, unit=unit, top=100.0 if unit else None, empty=empty))
    spread = [
        Curve(
            case["name"],
            [(x, 100 * y) for x, y in zip(case["curves"]["jct_s"], case["curves"]["jct_share"], strict=True)],
        )
        for case in cases
    ]
    over = request.say(text("Jobs that are over within a time since their submission"))
    charts.append(curves(over, spread, unit=" %", top=100.0, log=True, empty=empty))
    return charts


def stop(request: PageRequest) -> PageResponse:
    """Stop a running simulation."""
    found = service.stop_what_if(request.store, request.actor, request.path_params["what_if"])
    return Redirect(f"/what-if/{found.id}", text("The simulation is stopped"))


PAGES = (
    ConsolePage(
        "/what-if",
        text("What if"),
        show,
        scope="jobs:read",
        actions={"ask": ask_one},
        menu=MenuPlace(MenuGroup.WORK, 6, "chart", "h"),
    ),
    ConsolePage("/what-if/{what_if}", text("What if"), show_one, scope="jobs:read", actions={"stop": stop}),
)
