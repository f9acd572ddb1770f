"""Page of the scheduling policy: its settings, its versions and the rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.registry import labels
from pearlstreet.console.form_parsing import number_in, text_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.services.scheduling import (
    NOTE_MAX,
    SETTINGS,
    Policy,
    PolicyService,
    choices,
    is_list,
    sees_everything,
)

LABELS: Mapping[str, tuple[Text, Text]] = {
    "order": (text("Order"), text("Order of waiting jobs")),
    "placement": (text("Placement"), text("Choice among the fitting nodes")),
    "backfill": (text("Backfill"), text("Jobs that may overtake a job that cannot start yet")),
    "preemption": (text("Preemption"), text("Jobs that a job may preempt")),
    "elasticity": (text("Elasticity"), text("Whether elastic jobs are resized")),
    "depth": (text("Depth"), text("Number of different requests tried in one cycle")),
    "preempt_depth": (
        text("Preemption depth"),
        text("Blocked jobs for which capacity is freed in one cycle"),
    ),
    "preempt_limit": (text("Preemption limit"), text("Approximate number of attempts stopped in one cycle")),
    "min_run_s": (
        text("Minimum run time (s)"),
        text("No attempt is preempted or shrunk before this run time"),
    ),
    "grow_after_s": (text("Growth after (s)"), text("No elastic job grows before this run time")),
    "grace_s": (text("Grace (s)"), text("Time between the request to stop and the kill, for a checkpoint")),
    "assumed_run_s": (
        text("Assumed run time (s)"),
        text("Run time of jobs without a limit and a prediction"),
    ),
    "age_s": (text("Age (s)"), text("Waiting this long raises a priority by one; 0: never")),
    "wait_max_s": (text("Longest wait (s)"), text("Jobs that waited longer go first; 0: off")),
    "las_levels_h": (
        text("Levels of service (h)"),
        text("Device hours at which a job falls behind, if order is las"),
    ),
    "reserve_depth": (
        text("Reservation depth"),
        text("Blocked jobs with a reserved start, if backfill is conservative"),
    ),
    "restart_s": (text("Restart (s)"), text("Cost of a stop and restart for a job on one node")),
    "restart_gang_s": (text("Restart of gangs (s)"), text("The same for a job of several nodes")),
    "half_life_s": (text("Half-life (s)"), text("After it, past use counts half")),
}
"""Setting → title and help. Settings that are missing are shown by name."""


def described(name: str) -> tuple[Text | None, Text | None]:
    """Return a setting's title and help, or None."""
    return LABELS.get(name, (None, None))


def plain(value: object) -> str:
    """Return a setting's value as text of its field."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return f"{value:.12g}" if isinstance(value, float) else "" if value is None else str(value)


def pairs(
    names: Sequence[str], labels: Mapping[str, Text] | None = None, say: Callable[[Text], str] = str
) -> list[tuple[str, str]]:
    """Return the options of a setting: the name, which is not translated, and the name with its label."""
    words = {name: say(label) for name, label in (labels or {}).items()}
    return [(name, f"{name}: {words[name]}" if name in words else name) for name in names]


def brief(value: object) -> str:
    """Return a value of the history as short text."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={brief(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(brief(item) for item in value)
    return "–" if value is None else plain(value)


def rows(values: object, names: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the settings as rows of a form."""
    found: list[dict[str, object]] = []
    for name in names:
        title, about = described(name)
        found.append(
            {
                "name": name,
                "title": title,
                "about": about,
                "value": plain(getattr(values, name)),
                "choices": choices(name),
                "labels": labels(name),
            }
        )
    return found


def read_setting(request: PageRequest, name: str, before: object) -> object:
    """Return the entered value of a setting; the service validates it. `before`: the current value, for its type."""
    if choices(name):
        return request.value(name)
    if isinstance(before, bool):
        return request.value(name) == "true"
    if is_list(name):
        return _numbers(request, name)
    number = number_in(request, name)
    if number is None:
        raise wrong(name, text("It is empty"))
    return int(number) if number.is_integer() else number


def _numbers(request: PageRequest, name: str) -> list[float]:
    """Parse numbers separated by commas."""
    try:
        return [float(part) for part in request.value(name).split(",")]
    except ValueError:
        message = text("{value} is not a number", value=request.value(name)[:40])
        raise wrong(name, message, text("Write them like 5, 50")) from None


def show(request: PageRequest, policies: PolicyService) -> PageResponse:
    """Show the policy in force and its versions."""
    policy = policies.show_policy(request.actor)
    may_look_back = request.actor.may("decisions:read")
    before = request.query.get("before", "")
    versions = (
        list(
            policies.list_versions(
                request.actor,
                before=int(before) if before.isdecimal() and before.isascii() and len(before) < 10 else None,
                limit=PER_PAGE + 1,
            )
        )
        if may_look_back
        else []
    )
    shown = versions[:PER_PAGE]
    return View(
        "policy.html",
        {
            "policy": policy,
            "pairs": pairs,
            "brief": brief,
            "made_by": policy.made_by.partition(" ")[0] if sees_everything(request.actor) else "",
            "settings": rows(policy.planner, SETTINGS),
            "queues": sorted(policy.queues) if sees_everything(request.actor) else [],
            "may_write": request.actor.may("scheduling:write"),
            "may_look_back": may_look_back,
            "versions": shown,
            "before": shown[-1].policy.number if len(versions) > PER_PAGE else None,
        },
    )


def set_policy(request: PageRequest, policies: PolicyService) -> PageResponse:
    """Set the policy to the values in the form."""
    now = policies.show_policy(request.actor)
    wanted = {
        name: read_setting(request, name, getattr(now.planner, name))
        for name in SETTINGS
        if name in request.form
    }
    made = policies.set_policy(
        request.actor,
        wanted,
        default_queue=request.value("default_queue") or None,
        note=text_in(request, "note", NOTE_MAX),
    )
    return _in_force(made)


def roll_back(request: PageRequest, policies: PolicyService) -> PageResponse:
    """Return to an earlier version."""
    number = request.value("number")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise wrong("number", text("{value} is not a number", value=number[:40]))
    return _in_force(policies.roll_back(request.actor, int(number)))


def _in_force(made: Policy) -> Redirect:
    return Redirect(
        "/policy", text("Version {number} of the scheduling policy is in force", number=made.number)
    )


PAGES = (
    ConsolePage(
        "/policy",
        text("Scheduling policy"),
        show,
        scope="scheduling:read",
        actions={"set": set_policy, "rollback": roll_back},
        menu=MenuPlace(MenuGroup.CENTER, 5, "scale", "s", label=text("Scheduling")),
    ),
)
