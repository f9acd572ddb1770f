"""Changes that a what-if question assumes, in their written form: quotas, queues, windows, removed machines.

    acme/vision:cards:H100,guaranteed=16,maximum=32     a limit; `acme:cards,off` takes one away
    urgent,rank=-10,order=fifo                          a queue; `urgent,off` takes one away
    maintenance,nodes=h100-0001|h100-0002,from=36h,for=8h
    reservation,org=acme,model=H100,cards=16,from=2026-01-31T08:00Z,until=2026-02-02T08:00Z

A time alone counts from the first submission. Everything raises InvalidInput with what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text
from pearlstreet.base.units import parse_duration_s
from pearlstreet.compute.hardware.catalogue.cluster import read_part
from pearlstreet.compute.replay.constraints import FOREVER_US, Held, Terms
from pearlstreet.compute.scheduling.builder import QUOTA_KINDS
from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy
from pearlstreet.compute.scheduling.registry import check_config
from pearlstreet.compute.scheduling.rows import NodeRow, Quota, Reservation, match_models, tokens

Naming = Callable[[str, str], tuple[str, str]]
"""Maps the names of an organisation and a project ("": none) to the names that the trace has for them."""
OFF = "off"
MOST = 1e9
LONGEST_S = 5 * 366 * 86_400.0
CALENDAR_S = 1e8
"""A trace whose first time is below this does not count seconds from 1970."""
_LIMITS = {"guaranteed", "maximum", "borrow"}
_WINDOW = {"org", "nodes", "model", "cards", "from", "until", "for", "known"}
_QUEUE = {item.name for item in fields(QueuePolicy)} - {"name"}
_NAMED = {"order", "placement", "backfill", "preemption", "elasticity"}


def as_said(org: str, project: str) -> tuple[str, str]:
    """Return the names unchanged, for a trace that has the names people use."""
    return org, project


@dataclass(frozen=True, slots=True)
class Supposed:
    """Changes that a question assumes besides policies and added machines, in their written form."""

    quotas: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.quotas or self.queues or self.windows)

    @property
    def words(self) -> str:
        """Return all changes as one line of text."""
        return "; ".join((*self.quotas, *self.queues, *self.windows))


# Limits


def parse_quota(said: str) -> Quota:
    """Parse a limit; one with neither a guarantee nor a maximum removes the present limit."""
    (head, *rest) = _parts(said)
    owner, colon, resource = head.partition(":")
    org, _, project = (part.strip() for part in owner.partition("/"))
    kind, _, pattern = resource.partition(":")
    if not colon or not org:
        raise _wrong(said, text("Say whose limit it is and on what, such as acme:cards"))
    if kind not in QUOTA_KINDS or (pattern and (kind != "cards" or not tokens(pattern))):
        message = text(
            "A quota is on pflops, cards, cpus or cards:<model>, not on {resource}", resource=resource[:80]
        )
        raise _wrong(said, message)
    if rest == [OFF]:
        return Quota(org, resource, project)
    values = _values(said, rest, _LIMITS)
    guaranteed, maximum = (_amount(said, values, name) for name in ("guaranteed", "maximum"))
    if guaranteed is None and maximum is None:
        raise _wrong(said, text("Give guaranteed, maximum, or both"))
    if guaranteed is not None and maximum is not None and guaranteed > maximum:
        raise _wrong(said, text("The maximum is less than what is guaranteed"))
    borrow = values.get("borrow", "yes").lower()
    if borrow not in ("yes", "no", "true", "false"):
        raise _wrong(said, text("{field} is {value}, not true or false", field="borrow", value=borrow[:40]))
    return Quota(org, resource, project, guaranteed, maximum, borrow in ("yes", "true"))


def with_quota(quotas: Iterable[Quota], one: Quota) -> tuple[Quota, ...]:
    """Return the limits with one set, or taken away."""
    kept = [
        known
        for known in quotas
        if (known.org, known.project, known.resource) != (one.org, one.project, one.resource)
    ]
    return tuple(kept) if one.guaranteed is None and one.maximum is None else (*kept, one)


def _amount(said: str, values: Mapping[str, str], name: str) -> float | None:
    if not values.get(name):
        return None
    return _number(said, name, values[name], MOST)


# Queues


def with_queue(config: PlannerConfig, said: str) -> PlannerConfig:
    """Return the configuration with a queue changed, added or removed; jobs of a removed queue get the center's settings."""
    (name, *rest) = _parts(said)
    if "=" in name or not name:
        raise _wrong(said, text("Say which queue, such as urgent,rank=-10"))
    others = tuple(queue for queue in config.queues if queue.name != name)
    if rest == [OFF]:
        return replace(config, queues=others)
    before = next((queue for queue in config.queues if queue.name == name), QueuePolicy(name))
    values: dict[str, Any] = {
        key: _queue_value(said, key, value) for key, value in _values(said, rest, _QUEUE).items()
    }
    if not values:
        raise _wrong(said, text("Say how it is set, such as urgent,rank=-10"))
    queues = sorted((*others, replace(before, **values)), key=lambda queue: (queue.rank, queue.name))
    made = replace(config, queues=tuple(queues))
    try:
        check_config(made)
    except InvalidInput as error:
        raise _wrong(said, error.message, error.hint) from None
    return made


def _queue_value(said: str, key: str, value: str) -> Any:
    if key == "rank":
        try:
            return int(value)
        except ValueError:
            message = text("{field} is {value}, not a whole number", field=key, value=value[:40])
            raise _wrong(said, message) from None
    if not value:
        return None
    return value if key in _NAMED else _number(said, key, value, MOST)


# What is held


@dataclass(frozen=True, slots=True)
class Window:
    """A reservation or maintenance as the user wrote it."""

    org: str
    """Empty: maintenance."""
    project: str
    nodes: tuple[str, ...]
    model: str
    cards: int
    start: float | datetime
    """Seconds from the first submission, or a moment."""
    end: float | datetime | None
    """End of the window; None: it has no end."""
    known_s: float
    """Seconds before its beginning from which the planner knows of the window."""


def parse_window(said: str) -> Window:
    """Parse a maintenance window or a reservation."""
    (kind, *rest) = _parts(said)
    if kind not in ("maintenance", "reservation"):
        raise _wrong(said, text("It begins with maintenance or reservation"))
    values = _values(said, rest, _WINDOW)
    org, _, project = (part.strip() for part in values.get("org", "").partition("/"))
    if (kind == "reservation") != bool(org):
        raise _wrong(
            said,
            text("Say for which organisation it is: org=acme")
            if not org
            else text("Maintenance is for nobody; make it a reservation, or leave org out"),
        )
    nodes = tuple(dict.fromkeys(values.get("nodes", "").replace("|", " ").split()))
    cards = _number(said, "cards", values["cards"], MOST) if "cards" in values else 0.0
    model = values.get("model", "")
    if bool(nodes) == bool(model or cards) or (model and cards < 1) or (cards and not model) or cards % 1:
        raise _wrong(said, text("Name either nodes, or a model and how many cards of it"))
    start = _moment(said, "from", values.get("from") or "0s")
    end: float | datetime | None = None
    if values.get("until") and values.get("for"):
        raise _wrong(said, text("Say either until when, or for how long"))
    if values.get("until"):
        end = _moment(said, "until", values["until"])
    elif values.get("for"):
        end = _after(start, _duration(said, "for", values["for"]))
    if end is not None and type(end) is type(start) and not end > start:  # type: ignore[operator]
        raise _wrong(said, text("It ends before it begins"))
    known_s = _duration(said, "known", values.get("known") or "1d")
    return Window(org, project, nodes, model, int(cards), start, end, known_s)


def held(
    said: str, name: str, nodes: Sequence[NodeRow], origin_s: float, naming: Naming = as_said
) -> tuple[Held, ...]:
    """Return the nodes and devices that a window holds; `origin_s`: submit time of the first job in the trace's own time."""
    window = parse_window(said)
    start_us = _since(said, window.start, origin_s)
    end_us = FOREVER_US if window.end is None else _since(said, window.end, origin_s)
    if end_us <= start_us:
        raise _wrong(said, text("It ends before it begins"))
    org, project = naming(window.org, window.project) if window.org else ("", "")
    known_us = start_us - round(window.known_s * US_PER_S)
    return tuple(
        Held(Reservation(name, start_us, end_us, node, device, org, project), known_us)
        for node, device in (_named(window.nodes, nodes) if window.nodes else _picked(said, window, nodes))
    )


def check_nodes(said: str, nodes: Iterable[NodeRow]) -> None:
    """Raise InvalidInput for a window that names a node that there is not."""
    known = {node.name for node in nodes}
    for name in parse_window(said).nodes:
        if name not in known:
            raise _wrong(said, text("There is no node {name}", name=name[:80]))


def _named(names: Iterable[str], nodes: Sequence[NodeRow]) -> list[tuple[str, int | None]]:
    """Return the names that exist on these nodes; another case may have other machines."""
    known = {node.name for node in nodes}
    return [(name, None) for name in names if name in known]


def _picked(said: str, window: Window, nodes: Sequence[NodeRow]) -> list[tuple[str, int | None]]:
    """Return nodes with cards of one model, those with most cards first; only the last may be taken in part."""
    models = sorted({device.model for node in nodes for device in node.devices})
    allowed = match_models((window.model,), models)
    most = 0
    for model in allowed:
        offers = [
            (node, [device.index for device in node.devices if device.model == model]) for node in nodes
        ]
        total = sum(len(cards) for _, cards in offers)
        most = max(most, total)
        if total >= window.cards:
            return _taken(offers, window.cards)
    message = plural(
        "{count} card of {model} is wanted, and there are {most} of one model",
        "{count} cards of {model} are wanted, and there are {most} of one model",
        count=window.cards,
        model=window.model[:80],
        most=most,
    )
    raise _wrong(said, message)


def _taken(offers: list[tuple[NodeRow, list[int]]], cards: int) -> list[tuple[str, int | None]]:
    found: list[tuple[str, int | None]] = []
    for node, mine in sorted(
        offers, key=lambda offer: -len(offer[1])
    ):  # a stable sort: ties keep the given order
        take = mine[:cards]
        whole = len(take) == len(node.devices) and take
        found += [(node.name, None)] if whole else [(node.name, index) for index in take]
        cards -= len(take)
    return found


def _moment(said: str, key: str, value: str) -> float | datetime:
    if "-" not in value and ":" not in value:
        return _duration(said, key, value)
    try:
        at = datetime.fromisoformat(value)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except ValueError:
        raise _wrong(
            said, text("{field} is {value}, not a time", field=key, value=value[:40]), _HOW
        ) from None


def _duration(said: str, key: str, value: str) -> float:
    try:
        found = parse_duration_s(value)
    except ValueError:
        raise _wrong(
            said, text("{field} is {value}, not a time", field=key, value=value[:40]), _HOW
        ) from None
    if not 0 <= found <= LONGEST_S:
        raise _wrong(said, text("{field} is {value}, longer than five years", field=key, value=value[:40]))
    return found


_HOW = text("Write 36h or 2d, counted from the first submission, or 2026-01-31T08:00Z")


def _after(start: float | datetime, seconds: float) -> float | datetime:
    return (
        start + seconds
        if isinstance(start, float)
        else datetime.fromtimestamp(start.timestamp() + seconds, UTC)
    )


def _since(said: str, at: float | datetime, origin_s: float) -> int:
    if isinstance(at, float):
        return round(at * US_PER_S)
    if origin_s < CALENDAR_S:
        raise _wrong(said, text("The trace does not say on which day it begins"), _HOW)
    return round((at.timestamp() - origin_s) * US_PER_S)


# Machines


def without(nodes: Sequence[NodeRow], said: str) -> tuple[NodeRow, ...]:
    """Return the nodes less the removed ones: named, or `2x8xH100` for the last two nodes with 8 H100."""
    left = list(nodes)
    for part in filter(None, (part.strip() for part in said.replace(";", ",").split(","))):
        named = [node for node in left if node.name == part]
        if named:
            left.remove(named[0])
            continue
        found = read_part(part)
        if found is None:
            raise _wrong(said, text("There is no node {name}", name=part[:80]), _LESS)
        left = _fewer(said, part, left, *found)
    if not left:
        raise _wrong(said, text("Nothing would be left"))
    return tuple(left)


_LESS = text("Write names of nodes, or 2x8xH100 for two nodes with eight each")


def _fewer(said: str, part: str, nodes: list[NodeRow], count: int, devices: int, model: str) -> list[NodeRow]:
    such = [
        node
        for node in nodes
        if len(node.devices) == devices
        and (not model or match_models((model,), (node.devices[0].model if node.devices else "",)))
    ]
    if count < 1 or len(such) < count:
        message = plural(
            "{part} is to be taken away, and there is {count} such node",
            "{part} is to be taken away, and there are {count} such nodes",
            part=part[:80],
            count=len(such),
        )
        raise _wrong(said, message, _LESS)
    gone = {node.name for node in such[-count:]}
    return [node for node in nodes if node.name not in gone]


# All of it


def suppose(
    supposed: Supposed,
    terms: Terms,
    config: PlannerConfig,
    nodes: Sequence[NodeRow],
    origin_s: float,
    naming: Naming = as_said,
) -> tuple[Terms, PlannerConfig]:
    """Return the constraints of a case with these changes."""
    quotas = terms.quotas
    for said in supposed.quotas:
        one = parse_quota(said)
        org, project = naming(one.org, one.project)
        quotas = with_quota(quotas, replace(one, org=org, project=project))
    for said in supposed.queues:
        config = with_queue(config, said)
    more = [
        one
        for number, said in enumerate(supposed.windows, 1)
        for one in held(said, f"what-if {number}", nodes, origin_s, naming)
    ]
    return replace(terms, quotas=quotas, held=(*terms.held, *more)), config


def owners(supposed: Supposed) -> list[tuple[str, str]]:
    """Return the accounts that the changes name: (organisation, project or "")."""
    limits = [parse_quota(said) for said in supposed.quotas]
    windows = [parse_window(said) for said in supposed.windows]
    named = [(one.org, one.project) for one in limits]
    named += [(one.org, one.project) for one in windows if one.org]
    return list(dict.fromkeys(named))


def _parts(said: str) -> list[str]:
    return [part.strip() for part in said.split(",")] if said.strip() else [""]


def _values(said: str, parts: Iterable[str], known: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, parts):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise _wrong(said, text("{part} is not KEY=VALUE", part=part[:80]))
        if key not in known:
            hint = text("Use one of {names}", names=", ".join(sorted(known)))
            raise _wrong(said, text("There is nothing named {key} to set", key=key[:40]), hint)
        found[key] = value
    return found


def _number(said: str, key: str, value: str, most: float) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 <= found <= most:
        raise _wrong(said, text("{field} is {value}, not a number from 0 on", field=key, value=value[:40]))
    return found


def _wrong(said: str, message: Text, hint: Text | None = None) -> InvalidInput:
    return InvalidInput(
        text("{said} cannot be supposed: {why}", said=said[:120], why=message),
        hint=hint,
        problems=[Problem(said[:40] or "-", message, hint=hint)],
    )
