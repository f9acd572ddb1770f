"""Values of windows, their validation, and the choice of cards to hold for a reservation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.compute.scheduling.rows import Reservation, match_models
from pearlstreet.store.core import Row

WINDOWS = "windows"
"""Hint topic: a window was created or ended."""
LONGEST_US = 366 * 86_400 * US_PER_S
AHEAD_US = 5 * 366 * 86_400 * US_PER_S
"""Longest time from now to the beginning of a window."""
NODES_MAX = 10_000
REASON_MAX = 500


class WindowKind(StrEnum):
    """Why nodes are kept free."""

    MAINTENANCE = "maintenance"
    """No jobs run there; those that run at its beginning are stopped after notice."""
    RESERVATION = "reservation"
    """Only jobs of one organisation are placed there; no running job is stopped for it."""


@dataclass(frozen=True, slots=True)
class HeldNode:
    """A node of a window, and its held device indices; None: the whole node."""

    node: str
    devices: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class WindowWish:
    """A requested window: named nodes, all nodes of an engine, or a number of cards of a model."""

    kind: WindowKind
    until_us: int
    from_us: int | None = None
    """Beginning (µs since 1970); None: now."""
    nodes: tuple[str, ...] = ()
    engine: str | None = None
    """Engine whose nodes, those that the center has now, are meant beside `nodes`."""
    model: str | None = None
    cards: int | None = None
    org: str | None = None
    """Organisation whose jobs may run there (reservations only)."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PoolWindow:
    """A stored window."""

    id: str
    kind: WindowKind
    held: tuple[HeldNode, ...]
    model: str | None
    cards: int | None
    org_id: str | None
    from_us: int
    until_us: int
    reason: str
    made_by: str
    made_us: int
    ended_us: int | None

    def is_open(self, now_us: int) -> bool:
        """Return whether the window has not ended, so that it holds nodes now or later."""
        return self.ended_us is None and self.until_us > now_us

    def rows(self) -> list[Reservation]:
        """Return the planner's rows of the window."""
        return [
            Reservation(self.id, self.from_us, self.until_us, held.node, device, self.org_id or "")
            for held in self.held
            for device in ((None,) if held.devices is None else held.devices)
        ]


def check_wish(wish: WindowWish, now_us: int) -> None:
    """Raise InvalidInput with all problems that can be found without reading the pool."""
    problems: list[Problem] = []
    start_us = now_us if wish.from_us is None else wish.from_us
    if wish.until_us <= max(start_us, now_us):
        problems.append(Problem("until", text("It ends before it begins, or has ended already")))
    elif wish.until_us - start_us > LONGEST_US:
        problems.append(Problem("until", text("It is longer than a year")))
    if start_us > now_us + AHEAD_US:
        problems.append(Problem("from", text("It begins too far ahead")))
    if len(wish.reason) > REASON_MAX or not wish.reason.strip():
        message = text("Give a reason of at most {most} characters: tenants read it", most=REASON_MAX)
        problems.append(Problem("reason", message))
    if len(wish.nodes) > NODES_MAX:
        problems.append(Problem("nodes", text("At most {most} may be named", most=NODES_MAX)))
    problems += _of_what(wish)
    if problems:
        raise InvalidInput(text("The window cannot be set up like this"), problems=problems)


def _of_what(wish: WindowWish) -> Iterable[Problem]:
    by_model = wish.model is not None or wish.cards is not None
    are_named = bool(wish.nodes) or wish.engine is not None
    if wish.kind is WindowKind.MAINTENANCE:
        if by_model or not are_named:
            yield Problem("nodes", text("Name the nodes that are under maintenance, or an engine"))
        if wish.org is not None:
            yield Problem("org", text("Maintenance is for nobody; make it a reservation, or leave org out"))
        return
    if wish.org is None:
        yield Problem("org", text("Say for which organisation it is"))
    if by_model == are_named:
        yield Problem("nodes", text("Name either nodes or an engine, or a model and how many cards of it"))
    elif by_model and (wish.model is None or wish.cards is None or wish.cards < 1):
        yield Problem("cards", text("Name both: a model, and at least 1 card of it"))


@dataclass(frozen=True, slots=True)
class NodeCards:
    """Cards of a node that a reservation may use, and those that may be in use when it begins."""

    node: str
    model_of: Mapping[int, str]
    busy: frozenset[int]
    taken: frozenset[int]
    """Cards held by another window at that time."""


def pick_cards(nodes: Sequence[NodeCards], model: str, cards: int) -> tuple[HeldNode, ...]:
    """Choose `cards` cards of one device model that matches `model`, whole idle nodes first. Raises InvalidInput."""
    models = sorted({found for node in nodes for found in node.model_of.values()})
    allowed = match_models((model,), models)
    if not allowed:
        message = text(
            "The center has no accelerator named {what}, only {models}",
            what=model[:80],
            models=", ".join(models) or "-",
        )
        raise InvalidInput(message, problems=[Problem("model", message)])
    most = 0
    for one in allowed:
        offers = [_offer(node, one) for node in nodes]
        total = sum(len(offer.cards) for offer in offers)
        if total >= cards:
            return _take(offers, cards)
        most = max(most, total)
    message = plural(
        "{count} card is wanted and {most} of one model are not held already",
        "{count} cards are wanted and {most} of one model are not held already",
        count=cards,
        most=most,
    )
    raise InvalidInput(message, problems=[Problem("cards", message)])


@dataclass(frozen=True, slots=True)
class _Offer:
    node: str
    cards: tuple[int, ...]
    """Available cards, idle ones first."""
    busy: int
    whole: bool
    """Whether these are all cards of the node."""


def _offer(node: NodeCards, model: str) -> _Offer:
    cards = [index for index, name in node.model_of.items() if name == model and index not in node.taken]
    cards.sort(key=lambda index: (index in node.busy, index))
    whole = len(cards) == len(node.model_of) and bool(cards)
    return _Offer(node.node, tuple(cards), sum(index in node.busy for index in cards), whole)


def _take(offers: Iterable[_Offer], cards: int) -> tuple[HeldNode, ...]:
    found: list[HeldNode] = []
    left = cards
    for offer in sorted(offers, key=lambda one: (one.busy > 0, one.busy, -len(one.cards), one.node)):
        take = offer.cards[:left]
        if take:
            every = offer.whole and len(take) == len(offer.cards)
            found.append(HeldNode(offer.node, None if every else tuple(sorted(take))))
            left -= len(take)
        if not left:
            break
    return tuple(found)


def held_json(held: Iterable[HeldNode]) -> list[dict[str, object]]:
    """Return the value stored in a window's row."""
    return [{"node": one.node, "devices": None if one.devices is None else list(one.devices)} for one in held]


def from_row(row: Row) -> PoolWindow:
    """Return the window in a row."""
    return PoolWindow(
        id=row["id"],
        kind=WindowKind(row["kind"]),
        held=tuple(
            HeldNode(one["node"], None if one["devices"] is None else tuple(one["devices"]))
            for one in row["nodes"]
        ),
        **{
            name: row[name]
            for name in (
                "model", "cards", "org_id", "from_us", "until_us", "reason", "made_by", "made_us", "ended_us",
            )
        },
    )  # fmt: skip
