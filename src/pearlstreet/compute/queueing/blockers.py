"""PURE: finds out whether nodes out of service (drained, unhealthy or missing) keep a waiting job from starting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pearlstreet.base.text import Text, text
from pearlstreet.compute.pool.inventory import Node
from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity, Need, request_needs
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.plan import Detail
from pearlstreet.compute.scheduling.reasons import asked
from pearlstreet.compute.scheduling.rows import Request

OUT_OF_SERVICE = "out_of_service"
"""Constraint name of the detail that reports nodes out of service."""
UNBLOCK = text("It starts once enough of them are back in service")


@dataclass(frozen=True, slots=True)
class Blocked:
    """Explanation for a job that waits because nodes are out of service."""

    message: Text
    detail: Detail
    is_all: bool
    """Whether the nodes in service could not run the job even if they were empty."""


@dataclass(frozen=True, slots=True)
class _Matching:
    """Nodes that could hold a task if everything were in service and empty, grouped by condition."""

    drained: tuple[str, ...] = ()
    unhealthy: tuple[str, ...] = ()
    """Nodes that are unhealthy as a whole or missing."""
    partly: tuple[str, ...] = ()
    """Nodes in service that have too few healthy devices for a task."""
    good: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.drained) + len(self.unhealthy) + len(self.partly) + len(self.good)


def find_blocked(
    snapshot: Snapshot, nodes: Mapping[str, Node], request: Request, tasks: int
) -> Blocked | None:
    """Return which matching nodes are out of service if this keeps `tasks` tasks from starting; else None."""
    capacity = FreeCapacity(snapshot)
    empty = capacity.emptied()
    in_service = empty.seen(capacity.usable, capacity.schedulable)
    needs = request_needs(snapshot, request, is_gang=tasks > 1)
    held = _most(in_service, needs)
    if int(held.sum()) < tasks:
        matching = _matching(snapshot, nodes, _most(empty, needs), held)
        if not matching.count:
            return None
        message = _nothing_left(snapshot, in_service, request, matching, int(held.sum()), tasks)
        return Blocked(message, Detail(OUT_OF_SERVICE, tasks, int(held.sum()), message), is_all=True)
    if (capacity.usable == empty.usable).all() and capacity.schedulable.all():
        return None
    back = capacity.seen(empty.usable, empty.schedulable)
    fit = _most(back, needs)
    if int(fit.sum()) < tasks:
        return None
    matching = _matching(snapshot, nodes, fit, np.minimum(fit, held))
    if not (matching.drained or matching.unhealthy or matching.partly):
        return None
    message = text(
        "It would fit now if nodes were back in service (drained: {drained}, unhealthy: {unhealthy})",
        drained=len(matching.drained),
        unhealthy=len(matching.unhealthy) + len(matching.partly),
    )
    return Blocked(message, Detail(OUT_OF_SERVICE, tasks, 0, message), is_all=False)


def _most(capacity: FreeCapacity, needs: Sequence[Need]) -> I64:
    """Return how many tasks each node holds, for the device model that holds most (a job uses one model only)."""
    fits = [capacity.fit(need, ALL, False) for need in needs]
    return max(fits, key=lambda fit: int(fit.sum()), default=np.zeros(capacity.count, dtype=np.int64))


def _matching(snapshot: Snapshot, nodes: Mapping[str, Node], when_empty: I64, in_service: I64) -> _Matching:
    found: dict[str, list[str]] = {"drained": [], "unhealthy": [], "partly": [], "good": []}
    for number in np.flatnonzero(when_empty > 0).tolist():
        name = snapshot.nodes.names[number]
        node = nodes.get(name)
        if node is not None and node.drained:
            found["drained"].append(name)
        elif not bool(snapshot.nodes.schedulable[number]):
            found["unhealthy"].append(name)
        else:
            found["good" if in_service[number] else "partly"].append(name)
    return _Matching(**{name: tuple(names) for name, names in found.items()})


def _nothing_left(
    snapshot: Snapshot,
    in_service: FreeCapacity,
    request: Request,
    matching: _Matching,
    fit: int,
    tasks: int,
) -> Text:
    for names, only, every in (
        (
            matching.drained,
            text("The only matching node, {node}, is drained", node="".join(matching.drained[:1])),
            text("All {count} matching nodes are drained", count=matching.count),
        ),
        (
            matching.unhealthy,
            text("The only matching node, {node}, is unhealthy", node="".join(matching.unhealthy[:1])),
            text("All {count} matching nodes are unhealthy", count=matching.count),
        ),
    ):
        if len(names) == matching.count:
            return only if matching.count == 1 else every
    if request.count and len(matching.partly) == matching.count:
        needs = request_needs(snapshot, request)
        healthy = np.max([in_service.whole(need.model, ALL, False).sum(axis=1) for need in needs], axis=0)
        best = int(np.argmax(healthy))
        return text(
            "No node has {asked} that are all healthy; the most is {most}, on {node}",
            asked=asked(request),
            most=int(healthy[best]),
            node=snapshot.nodes.names[best],
        )
    return text(
        "Of {count} matching nodes too many are out of service (drained: {drained}, unhealthy: {unhealthy}, with too few "
        "healthy devices: {partly}); the others hold {fit} of its {tasks} tasks even when empty",
        count=matching.count,
        drained=len(matching.drained),
        unhealthy=len(matching.unhealthy),
        partly=len(matching.partly),
        fit=fit,
        tasks=tasks,
    )
