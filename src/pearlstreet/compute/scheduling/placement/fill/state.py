"""The arrays that `expected-fill` keeps: of a free capacity, of its nodes, and of one request on every node."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity
from pearlstreet.compute.scheduling.model import I32, I64, Bools
from pearlstreet.compute.scheduling.placement.protocol import NO_MORE

I16 = NDArray[np.int16]

NEVER = NO_MORE
"""A loss beyond all others: the request does not fit there."""
STEP = 1 << 13
"""Weight of one unit of loss against packing, which decides only between equal losses."""


class Free(NamedTuple):
    """Free amounts by node and device."""

    cpu: I64
    memory: I64
    cpu_total: I64
    device_memory: I64
    device_compute: I64
    device_total: I64
    model: I64
    usable: Bools
    schedulable: Bools


def free_of(capacity: FreeCapacity, lasting: bool = False) -> Free:
    """Free amounts, shared with the capacity's own arrays; for a job that may outlast a reservation, those it leaves."""
    devices = capacity.free_devices(ALL, lasting)
    return Free(
        capacity.free_cpu(ALL, lasting), capacity.free_memory(ALL, lasting), capacity.cpu_total, *devices,
        capacity.device_total, capacity.topology_cache.model64, capacity.usable, capacity.schedulable,
    )  # fmt: skip


class Notes(NamedTuple):
    """Known values of every node in its present state."""

    version: I64
    """Changes whenever the node does."""
    value: I64
    capacity: I64
    """Weighted basis points free on its devices."""
    slots: I16
    """[N, G] tasks of each large shape that it could take."""


class Asked(Protocol):
    """A request to one node."""

    @property
    def cpu(self) -> int: ...
    @property
    def memory(self) -> int: ...
    @property
    def devices(self) -> int: ...
    @property
    def models(self) -> I64: ...
    @property
    def share_memory(self) -> I64: ...
    @property
    def share_compute(self) -> I64: ...


class FillRequest(NamedTuple):
    """One request on every node. Entries hold while `stamp` is the node's version."""

    cpu: int
    memory: int
    devices: int
    models: I64
    """Indices of permitted models; only -1: without a device."""
    share_memory: I64
    share_compute: I64
    volume: int
    """Weighted basis points that it takes at least."""
    stamp: I64
    loss: I64
    device: I16
    which: I16
    """Index into `models`."""
    spent: I16
    """[N, G] slots of large shapes that it takes away."""
    second: I32
    equal: I64
    """Output of a search: the nodes with the lowest total."""
