"""Values of a scheduling policy and its queues, and the validation of changes."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_short, is_finite
from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy, config_from_json
from pearlstreet.compute.scheduling.registry import kinds
from pearlstreet.store.core import Row
from pearlstreet.workload.spec.suggest import nearest

DEFAULT = "default"
"""Name of the queue in a center without configured queues."""
QUEUES_MAX = 100
ALLOWED_MAX = 1000
ENGINES_MAX = 100
RANK_MAX = 1000
TITLE_MAX = 200
LIST_MAX = 20
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
RANGES: Mapping[str, tuple[float, float]] = {
    "depth": (1, 1_000_000),
    "preempt_depth": (0, 10_000),
    "preempt_limit": (0, 1_000_000),
    "reserve_depth": (0, 10_000),
    "assumed_run_s": (1, 366 * 86_400),
    "half_life_s": (60, 3_660 * 86_400),
}
"""Lower and upper bound of a number, where they differ from 0 and one year in seconds."""
_YEAR_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Access:
    """Title, admission and engines of a queue. `allowed`: (organisation, project or "") pairs that may use it; empty: all may."""

    title: str = ""
    allowed: tuple[tuple[str, str], ...] = ()
    engines: tuple[str, ...] = ()
    """Engines whose nodes alone run its jobs; empty: all."""

    def admits(self, org_id: str, project_id: str) -> bool:
        """Return whether jobs of a project may use the queue."""
        return not self.allowed or (org_id, "") in self.allowed or (org_id, project_id) in self.allowed


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy: configuration of the planner, the queues, and the queue of jobs that name none."""

    planner: PlannerConfig = field(default_factory=PlannerConfig)
    queues: Mapping[str, Access] = field(default_factory=lambda: {DEFAULT: Access()})
    default_queue: str = DEFAULT
    number: int = 0
    """Version number; 0: the policy of the center's settings, never changed."""
    made_by: str = ""
    made_us: int = 0
    note: str = ""
    back_to: int | None = None
    """Version of which this one is a copy; None: it is no copy."""

    def queue(self, name: str) -> QueuePolicy:
        """Return the settings of a queue that differ from the center's."""
        found = next((queue for queue in self.planner.queues if queue.name == name), None)
        return found if found is not None else QueuePolicy(name)

    def engines_of(self, queue: str) -> tuple[str, ...]:
        """Return the engines whose nodes alone run the jobs of a queue; empty: all."""
        access = self.queues.get(queue)
        return access.engines if access is not None else ()

    def usable(self, org_id: str, project_id: str) -> list[str]:
        """Return the names of the queues that a project may use, the default queue first."""
        names = [name for name, access in self.queues.items() if access.admits(org_id, project_id)]
        return sorted(names, key=lambda name: (name != self.default_queue, name))


SETTINGS = tuple(item.name for item in fields(PlannerConfig) if item.name != "queues")
"""Names of the planner's settings."""
QUEUE_SETTINGS = tuple(item.name for item in fields(QueuePolicy) if item.name not in ("name", "rank"))
"""Names of the settings that a queue can override."""
_TYPES = typing.get_type_hints(PlannerConfig)


def choices(name: str) -> tuple[str, ...]:
    """Return the names that a setting accepts; empty for a number."""
    return tuple(kinds().get(name, ()))


def is_list(name: str) -> bool:
    """Return whether a setting is a list of numbers."""
    return typing.get_origin(_TYPES[name]) is tuple


def bounds(name: str) -> tuple[float, float]:
    """Return the lower and upper bound of a number."""
    return RANGES.get(name, (0, _YEAR_S))


def with_settings(policy: Policy, changes: Mapping[str, object], default_queue: str | None = None) -> Policy:
    """Return the policy with some settings of the planner changed. Raises InvalidInput with every problem."""
    problems: list[Problem] = []
    values = _read(changes, SETTINGS, problems, "")
    if default_queue is not None and default_queue not in policy.queues:
        problems.append(_no_queue("default_queue", default_queue, policy.queues))
    refuse(problems)
    return replace(
        policy,
        planner=replace(policy.planner, **values),
        default_queue=policy.default_queue if default_queue is None else default_queue,
    )


def with_queue(
    policy: Policy, name: str, *, rank: int | None, settings: Mapping[str, object], access: Access | None
) -> Policy:
    """Return the policy with a queue added or changed. Raises InvalidInput with every problem.

    `settings`: overrides of the queue; None for one of them removes it. `rank` and `access` None: unchanged.
    """
    problems: list[Problem] = []
    if NAME.fullmatch(name) is None:
        message = text("{value} is not a queue's name", value=name[:80])
        hint = text("1 to 40 lower-case letters, digits and inner hyphens")
        problems.append(Problem("name", message, hint=hint))
    if name not in policy.queues and len(policy.queues) >= QUEUES_MAX:
        problems.append(Problem("name", text("There are {most} queues, as many as may be", most=QUEUES_MAX)))
    values = _read(settings, QUEUE_SETTINGS, problems, "", leaves_open=True)
    before = policy.queue(name)
    rank = before.rank if rank is None else rank
    if not -RANK_MAX <= rank <= RANK_MAX:
        problems.append(_range("rank", rank, -RANK_MAX, RANK_MAX))
    access = access if access is not None else policy.queues.get(name, Access())
    problems += _access_problems(access)
    refuse(problems)
    made = replace(before, rank=rank, **values)
    others = [queue for queue in policy.planner.queues if queue.name != name]
    queues = tuple(sorted((*others, made), key=lambda queue: (queue.rank, queue.name)))
    return replace(
        policy,
        planner=replace(policy.planner, queues=queues),
        queues={**policy.queues, name: access},
    )


def without_queue(policy: Policy, name: str) -> Policy:
    """Return the policy without a queue. Raises InvalidInput for the default queue and for an unknown one."""
    if name not in policy.queues:
        refuse([_no_queue("name", name, policy.queues)])
    if name == policy.default_queue:
        message = text("{queue} is the queue of jobs that name none", queue=name)
        hint = text("Make another queue the default first")
        raise InvalidInput(message, hint=hint, problems=[Problem("name", message, hint=hint)])
    planner = replace(policy.planner, queues=tuple(q for q in policy.planner.queues if q.name != name))
    queues = {other: access for other, access in policy.queues.items() if other != name}
    return replace(policy, planner=planner, queues=queues)


def refuse(problems: list[Problem]) -> None:
    """Raise InvalidInput if there are problems."""
    if problems:
        raise InvalidInput(text("The scheduling policy cannot be set like this"), problems=problems)


def _access_problems(access: Access) -> list[Problem]:
    found = []
    if len(access.title) > TITLE_MAX or "\n" in access.title:
        found.append(Problem("title", text("At most {most} characters, on one line", most=TITLE_MAX)))
    if len(access.allowed) > ALLOWED_MAX:
        found.append(Problem("allowed", text("At most {most} may be named", most=ALLOWED_MAX)))
    if len(access.engines) > ENGINES_MAX:
        found.append(Problem("engines", text("At most {most} may be named", most=ENGINES_MAX)))
    return found


def _read(
    changes: Mapping[str, object],
    known: Iterable[str],
    problems: list[Problem],
    prefix: str,
    *,
    leaves_open: bool = False,
) -> dict[str, Any]:
    names = tuple(known)
    found: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in names:
            problems.append(_unknown(prefix + name[:80], name, names))
        elif value is None and leaves_open:
            found[name] = None
        else:
            problem = _problem(prefix + name, name, value)
            if problem is None:
                found[name] = _converted(name, value)
            else:
                problems.append(problem)
    return found


def _problem(where: str, name: str, value: object) -> Problem | None:
    """Return what is wrong with the value of a setting; None if it is valid."""
    allowed = choices(name)
    if allowed:
        if isinstance(value, str) and value in allowed:
            return None
        close = nearest(value, list(allowed)) if isinstance(value, str) else None
        hint = (
            text("Did you mean {name}?", name=close)
            if close is not None
            else text("Use one of {names}", names=", ".join(allowed))
        )
        message = text("There is no {kind} policy named {name}", kind=name, name=str(value)[:80])
        return Problem(where, message, hint=hint)
    if is_list(name):
        return _list_problem(where, name, value)
    if _TYPES[name] is bool:
        return None if isinstance(value, bool) else Problem(where, text("It is either true or false"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        return Problem(where, text("{value} is not a number", value=str(value)[:40]))
    if _TYPES[name] is int and value != int(value):
        return Problem(where, text("{value} is not a whole number", value=str(value)[:40]))
    least, most = bounds(name)
    return None if least <= value <= most else _range(where, value, least, most)


def _list_problem(where: str, name: str, value: object) -> Problem | None:
    """Return what is wrong with a list of ascending numbers; None if it is valid."""
    items = value if isinstance(value, list | tuple) else [value]
    numbers = [
        item
        for item in items
        if isinstance(item, int | float) and not isinstance(item, bool) and is_finite(item)
    ]
    if not 1 <= len(items) <= LIST_MAX or len(numbers) < len(items):
        hint = text("Write them like 5, 50")
        return Problem(where, text("It is a list of 1 to {most} numbers", most=LIST_MAX), hint=hint)
    least, most = bounds(name)
    outside = next((one for one in numbers if not least <= one <= most), None)
    if outside is not None:
        return _range(where, outside, least, most)
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        return Problem(where, text("Each number must be larger than the one before"))
    return None


def _converted(name: str, value: Any) -> Any:
    if is_list(name):
        return tuple(float(one) for one in (value if isinstance(value, list | tuple) else [value]))
    if _TYPES[name] is int:
        return int(value)
    return float(value) if _TYPES[name] is float else value


def _range(where: str, value: float, least: float, most: float) -> Problem:
    return Problem(
        where,
        text(
            "{value} is out of range; it must be from {low} to {high}",
            value=format_short(value),
            low=format_short(least),
            high=f"{most:.12g}",
        ),
    )


def _unknown(where: str, name: str, names: tuple[str, ...]) -> Problem:
    close = nearest(name, list(names))
    hint = (
        text("Did you mean {name}?", name=close)
        if close is not None
        else text("Settings are: {names}", names=", ".join(names))
    )
    return Problem(where, text("There is no setting {name}", name=name[:80]), hint=hint)


def _no_queue(where: str, name: str, queues: Mapping[str, Access]) -> Problem:
    return Problem(where, text("There is no queue {queue}", queue=name[:80]), hint=queue_hint(name, queues))


def queue_hint(name: str, queues: Iterable[str]) -> Text:
    """Return a hint with the queue name that was probably meant, or with all names."""
    names = sorted(queues)
    close = nearest(name[:80], names)
    if close is not None:
        return text("Did you mean {name}?", name=close)
    return text("Queues are: {names}", names=", ".join(names[:20]))


def to_rows(policy: Policy) -> dict[str, object]:
    """Return the columns that store a policy."""
    return {
        "planner": policy.planner.to_json(),
        "queues": {
            name: {
                "title": access.title,
                "allowed": [list(pair) for pair in access.allowed],
                "engines": list(access.engines),
            }
            for name, access in policy.queues.items()
        },
        "default_queue": policy.default_queue,
    }


def from_row(row: Row) -> Policy:
    """Return the policy in a row; settings unknown to this program version are left out."""
    known = {item.name for item in fields(PlannerConfig)}
    of_queue = {item.name for item in fields(QueuePolicy)}
    planner = {name: value for name, value in row["planner"].items() if name in known}
    planner["queues"] = [
        {name: value for name, value in queue.items() if name in of_queue}
        for queue in planner.get("queues", ())
    ]
    return Policy(
        planner=config_from_json(planner),
        queues={
            name: Access(
                access["title"],
                tuple((org, project) for org, project in access["allowed"]),
                tuple(access.get("engines", ())),
            )
            for name, access in row["queues"].items()
        },
        default_queue=row["default_queue"],
        number=row["number"],
        made_by=row["made_by"],
        made_us=row["made_us"],
        note=row["note"],
        back_to=row["back_to"],
    )


def differences(before: Policy, after: Policy) -> dict[str, list[object]]:
    """Return [before, after] by changed setting, including queues, for the audit log and the history."""
    found: dict[str, list[object]] = {}
    for name in SETTINGS:
        was, now = getattr(before.planner, name), getattr(after.planner, name)
        if was != now:
            found[name] = [was, now]
    if before.default_queue != after.default_queue:
        found["default_queue"] = [before.default_queue, after.default_queue]
    for name in sorted({*before.queues, *after.queues}):
        was, now = _described(before, name), _described(after, name)
        if was != now:
            found[f"queue {name}"] = [was, now]
    return found


def _described(policy: Policy, name: str) -> dict[str, object] | None:
    access = policy.queues.get(name)
    if access is None:
        return None
    queue = policy.queue(name)
    own = {item: getattr(queue, item) for item in QUEUE_SETTINGS if getattr(queue, item) is not None}
    shown: dict[str, object] = {"rank": queue.rank, **own}
    if access.title:
        shown["title"] = access.title
    if access.allowed:
        shown["allowed"] = ["/".join(part for part in pair if part) for pair in access.allowed]
    if access.engines:
        shown["engines"] = list(access.engines)
    return shown
