"""Writes and deletes waiting requests. The owner calls it in the transaction that changes its own state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.store.core import Row, Tx

_INSERT = sa.insert(waiting)
_DELETE = sa.delete(waiting).where(waiting.c.id == sa.bindparam("of_id"))
_DELETE_ELEMENTS = sa.delete(waiting).where(waiting.c.array_id == sa.bindparam("of_array"))


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """A request for machines that is planned from now on."""

    id: str
    """Id of its owner, unique among owners of every kind."""
    owner_kind: str
    org_id: str
    project_id: str
    request: ResourceRequest | None
    """None for an element: it has the request of its array."""
    price_version_id: str
    queue: str
    submitted_us: int
    name: str = ""
    """Requests of like names are expected to run equally long."""
    user_digest: str = ""
    priority: int = 0
    not_before_us: int = 0
    blocked: bool = False
    """Whether it is not planned yet, because its owner waits for something else; see `unblock`."""
    billed: bool = True
    """Whether the time of its attempts is billed, so that a hold is placed for them."""
    attempts: int = 0
    """Attempts that its owner had before."""
    served_device_us: int = 0
    """Device time of these attempts."""
    array_id: str | None = None
    array_index: int | None = None
    array_size: int | None = None
    """Number of elements, of the row that stands for a whole array; None for all other rows."""
    array_max_running: int | None = None

    def row(self) -> dict[str, object]:
        """Return the row of the table."""
        found: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        found["request"] = None if self.request is None else self.request.to_json()
        return found


def add_requests(tx: Tx, requests: Sequence[WaitingRequest]) -> None:
    """Let requests be planned."""
    tx.execute(_INSERT, [one.row() for one in requests])
    tx.hint(PLAN)


def add_elements(tx: Tx, shared: WaitingRequest, elements: Sequence[Row]) -> None:
    """Let the elements of an array be planned. `elements`: id, name and `array_index` of each; `shared`: all else."""
    row = shared.row() | {"request": None, "array_size": None}
    tx.execute(_INSERT, [{**row, **element} for element in elements])
    tx.hint(PLAN)


def withdraw_request(tx: Tx, owner_id: str) -> None:
    """Delete a request; nothing happens if there is none."""
    tx.execute(_DELETE, {"of_id": owner_id})


def withdraw_elements(tx: Tx, array_id: str) -> None:
    """Delete the requests of all elements of an array."""
    tx.execute(_DELETE_ELEMENTS, {"of_array": array_id})


def set_blocked(tx: Tx, owner_id: str, *, blocked: bool) -> None:
    """Set whether a request, or those of an array and its elements, are kept from being planned."""
    family = (waiting.c.id == owner_id) | (waiting.c.array_id == owner_id)
    tx.execute(sa.update(waiting).where(family).values(blocked=blocked))
    tx.hint(PLAN)
