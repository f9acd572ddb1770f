"""Checks at submit whether the center could ever run a request, even when empty."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.compute.scheduling import reasons
from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, request_needs
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Reason
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.compute.scheduling.timeline import fits


def feasible(snapshot: Snapshot, request: Request, tasks: int = 1) -> Reason | None:
    """Return None if an empty center could run it; else an IMPOSSIBLE reason that names the closest hardware the center has."""
    needs = request_needs(snapshot, request, is_gang=tasks > 1)
    return check(snapshot, FreeCapacity(snapshot).emptied(), request, needs, tasks)


def check(
    snapshot: Snapshot, empty: FreeCapacity, request: Request, needs: Sequence[Need], tasks: int
) -> Reason | None:
    """Do what `feasible` does, with the free capacity of the empty center, which the caller keeps."""
    if any(fits(empty, need, tasks) for need in needs):
        return None
    return reasons.impossible(reasons.details(snapshot, empty, request, needs, tasks))
