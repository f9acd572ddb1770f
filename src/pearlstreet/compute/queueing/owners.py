"""What queueing asks of an owner whose requests wait to be planned. A new kind of owner is one class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pearlstreet.base.errors import check
from pearlstreet.base.text import Text
from pearlstreet.compute.execution.owners import Owner, Owners
from pearlstreet.store.core import Row, Tx


@dataclass(frozen=True, slots=True)
class WaitReason:
    """Why a request waits."""

    code: str
    reason: Text


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue of the center's own work, planned before all queues and never preempting others."""

    name: str
    running_max: int
    """Attempts of the center at once."""
    org_running_max: int = 0
    """Attempts of one organisation at once; 0: no limit of its own."""


@dataclass(frozen=True, slots=True)
class MaintenanceNotice:
    """Maintenance of a node that will stop an attempt."""

    node: str
    begins_us: int
    ends_us: int
    reason: str
    sentence: Text
    is_first: bool
    """Whether no other element of its array has got this notice."""


class QueuedOwner(Owner):
    """Owner whose requests stand in the table `waiting` until the planner places an attempt for them.

    All methods run in the transaction that changes the request and must not call engines or wait.
    """

    @property
    def lane(self) -> Lane | None:
        """Lane in which its requests wait; None: the queues of tenants."""
        return None

    @abstractmethod
    def on_placed(self, tx: Tx, request: Row, attempt_id: str) -> None:
        """Move the owner on: an attempt is placed for its request, whose row (`request`) is gone."""

    def on_refused(self, tx: Tx, request: Row, why: Text) -> bool:
        """Return whether the owner gives up, and withdrew its request, because its balance does not cover an attempt.

        Otherwise the request waits until it does.
        """
        return False

    def on_reasons(self, tx: Tx, reasons: Mapping[str, WaitReason | None]) -> None:
        """Note new reasons of waiting requests by owner id; None: the request has no reason any more."""

    def on_queues(self, tx: Tx, queues: Collection[str], default_queue: str) -> None:
        """Note that only these queues are left, and that requests in others have moved to the default queue."""

    def on_maintenance(self, tx: Tx, attempt: Row, notice: MaintenanceNotice) -> None:
        """Tell people that maintenance will stop an attempt. Called once for an attempt and a window."""


def lanes_of(owners: Owners) -> Mapping[str, Lane]:
    """Return the lanes of owners by their kind."""
    found = {kind: owner.lane for kind, owner in owners.items() if isinstance(owner, QueuedOwner)}
    return {kind: lane for kind, lane in found.items() if lane is not None}


def queued_owner(owners: Owners, kind: str) -> QueuedOwner:
    """Return the owner of waiting requests of a kind."""
    owner = owners.get(kind)
    check(isinstance(owner, QueuedOwner), "the kind of a request's owner is known", kind=kind)
    assert isinstance(owner, QueuedOwner)
    return owner
