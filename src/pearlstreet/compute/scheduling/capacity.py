"""Free capacity during one cycle: copies of the snapshot's arrays, from which placements are subtracted.

Nodes keep the snapshot's numbers. Equal nodes are told apart by `tie`, their rank by a hash of what they are and hold
(ties.py), so that nothing depends on how nodes are called or listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.model import I32, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.need import PLENTY, Need
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.compute.scheduling.ties import Ties
from pearlstreet.compute.scheduling.topology_cache import PlannerCache, TopologyCache

_NOTHING: I64 = np.zeros(0, dtype=np.int64)

__all__ = ["ALL", "PLENTY", "Chunk", "Need", "FreeCapacity", "Rows", "request_needs"]

Rows = I64 | slice
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Resources given to one task: a node, positions of its devices, and the amount of each."""

    node: int
    positions: tuple[int, ...]
    memory: tuple[int, ...]
    compute: tuple[int, ...]


class FreeCapacity:
    """Free amounts by node and device; for jobs that may outlast the start of a reservation, what the reservation leaves."""

    def __init__(self, snapshot: Snapshot, cache: PlannerCache | None = None) -> None:
        nodes = snapshot.nodes
        self.topology_cache: TopologyCache = (cache or PlannerCache()).topology(snapshot)
        self.count = nodes.count
        self._ties = Ties(snapshot, self.topology_cache)
        self.schedulable: Bools = nodes.schedulable
        self.rack: I32 = nodes.rack
        self.pod: I32 = nodes.pod
        self.domain: I32 = nodes.domain
        self.link: I32 = nodes.device_link
        self.model: I32 = nodes.device_model
        self.device_total: I64 = nodes.device_memory_total
        self.usable: Bools = nodes.device_healthy & self.topology_cache.present & self.schedulable[:, None]
        self.cpu_total: I64 = nodes.cpu_total
        self.memory_total: I64 = nodes.memory_total
        self.cpu: I64 = nodes.cpu_free.copy()
        self.memory: I64 = nodes.memory_free.copy()
        self.device_memory: I64 = nodes.device_memory_free.copy()
        self.device_compute: I64 = nodes.device_compute_free.copy()
        self.whole_center = True
        """Whether this is the snapshot's whole present free capacity, not a part seen by one job or a later moment."""
        self.reserved = False
        self.cap_cpu = self.cap_memory = self.cap_device_memory = self.cap_device_compute = _NOTHING
        self.touched: list[int] = []
        """Nodes whose free amounts or caps changed, in the order of the changes."""

    def reserve(self) -> None:
        """Begin to apply the caps, which reservations then lower on their nodes."""
        if self.reserved:
            return
        self.reserved = True
        self.cap_cpu = np.full(self.count, PLENTY, dtype=np.int64)
        self.cap_memory = np.full(self.count, PLENTY, dtype=np.int64)
        self.cap_device_memory = np.full(self.model.shape, PLENTY, dtype=np.int64)
        self.cap_device_compute = np.full(self.model.shape, PLENTY, dtype=np.int64)

    @property
    def tie(self) -> I64:
        """Rank of every node among its equals, lowest first."""
        return self._ties.rank

    def first(self, nodes: I64) -> int:
        """Return the node that `tie` ranks lowest among equal ones."""
        return self._ties.first(nodes)

    @property
    def has_device(self) -> Bools:
        """Nodes with any accelerator."""
        return self.topology_cache.has_device

    def with_free(self, cpu: I64, memory: I64, device_memory: I64, device_compute: I64) -> FreeCapacity:
        """Return the same nodes with other free amounts and no reservations, to ask about another moment."""
        other = object.__new__(FreeCapacity)
        other.__dict__.update(self.__dict__)
        other.cpu, other.memory = cpu, memory
        other.device_memory, other.device_compute = device_memory, device_compute
        other.reserved, other.touched, other.whole_center = False, [], False
        return other

    def seen(self, usable: Bools, schedulable: Bools) -> FreeCapacity:
        """Return a view of this free capacity, with shared amounts, for a job that may not take every node or device."""
        other = object.__new__(FreeCapacity)
        other.__dict__.update(self.__dict__)
        other.usable, other.schedulable, other.whole_center = usable, schedulable, False
        return other

    def follow(self, whole: FreeCapacity) -> None:
        """Copy the caps of the free capacity that this is a view of."""
        self.reserved = whole.reserved
        self.cap_cpu, self.cap_memory = whole.cap_cpu, whole.cap_memory
        self.cap_device_memory, self.cap_device_compute = whole.cap_device_memory, whole.cap_device_compute

    def emptied(self) -> FreeCapacity:
        """Return the same nodes with nothing in use, every node and device in service."""
        other = self.with_free(
            self.cpu_total.copy(),
            self.memory_total.copy(),
            self.device_total.copy(),
            self.topology_cache.full_compute.copy(),
        )
        other.schedulable = np.ones(self.count, dtype=np.bool_)
        other.usable = self.topology_cache.present
        return other

    def take(self, chunk: Chunk, need: Need, *, lasting: bool) -> None:
        """Subtract `chunk`; `lasting`: it may still be held when a reservation begins."""
        n = chunk.node
        self.cpu[n] -= need.cpu
        self.memory[n] -= need.memory
        for d, memory, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True):
            self.device_memory[n, d] -= memory
            self.device_compute[n, d] -= compute
        if lasting and self.reserved:
            self.cap_cpu[n] -= need.cpu
            self.cap_memory[n] -= need.memory
            for d, memory, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True):
                self.cap_device_memory[n, d] -= memory
                self.cap_device_compute[n, d] -= compute
        self.touched.append(n)

    def give_back(self, chunk: Chunk, need: Need) -> None:
        """Undo `take` of a chunk that no reservation counted on."""
        n = chunk.node
        self.cpu[n] += need.cpu
        self.memory[n] += need.memory
        for d, memory, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True):
            self.device_memory[n, d] += memory
            self.device_compute[n, d] += compute
        self.touched.append(n)

    def free_cpu(self, rows: Rows, lasting: bool) -> I64:
        return np.minimum(self.cpu[rows], self.cap_cpu[rows]) if lasting and self.reserved else self.cpu[rows]

    def free_memory(self, rows: Rows, lasting: bool) -> I64:
        if lasting and self.reserved:
            return np.minimum(self.memory[rows], self.cap_memory[rows])
        return self.memory[rows]

    def free_devices(self, rows: Rows, lasting: bool) -> tuple[I64, I64]:
        """Free memory and compute of the devices of `rows`."""
        memory, compute = self.device_memory[rows], self.device_compute[rows]
        if lasting and self.reserved:
            memory = np.minimum(memory, self.cap_device_memory[rows])
            compute = np.minimum(compute, self.cap_device_compute[rows])
        return memory, compute

    def whole(self, model: int, rows: Rows, lasting: bool) -> Bools:
        """Return the devices of the model (-1: any) that are wholly free and may be given to the job."""
        memory, compute = self.free_devices(rows, lasting)
        free = (memory == self.device_total[rows]) & (compute == FULL_BP) & self.usable[rows]
        return np.asarray(free if model < 0 else free & (self.model[rows] == model))

    def copies(self, need: Need, rows: Rows, lasting: bool) -> I64:
        """Return how often the share fits on each device."""
        memory, compute = self.free_devices(rows, lasting)
        times = np.where(self.usable[rows] & (self.model[rows] == need.model), PLENTY, 0)
        if need.share_memory:
            times = np.minimum(times, memory // need.share_memory)
        if need.share_compute:
            times = np.minimum(times, compute // need.share_compute)
        return np.maximum(times, 0)

    def fit(self, need: Need, rows: Rows, lasting: bool) -> I64:
        """Return how many tasks each node of `rows` can take now."""
        times = np.where(self.schedulable[rows], PLENTY, 0)
        if need.domain >= 0:
            times[self.domain[rows] != need.domain] = 0
        if need.cpu:
            times = np.minimum(times, self.free_cpu(rows, lasting) // need.cpu)
        if need.memory:
            times = np.minimum(times, self.free_memory(rows, lasting) // need.memory)
        if need.count:
            times = np.minimum(times, self.whole(need.model, rows, lasting).sum(axis=1) // need.count)
        elif need.is_share:
            times = np.minimum(times, self.copies(need, rows, lasting).sum(axis=1))
        return np.maximum(times, 0)


def request_needs(
    snapshot: Snapshot,
    request: Request,
    key: int = -1,
    *,
    is_gang: bool = False,
    cache: PlannerCache | None = None,
) -> tuple[Need, ...]:
    """Return the request on each model that it allows, weakest model first, so that strong devices stay free for jobs that name them.

    The request need not be in the snapshot. `is_gang`: it has, or may grow to, several tasks, which must be in one domain: the
    request on each model in each domain. Sizes of equal models are taken as equal.
    """
    return (cache or PlannerCache()).topology(snapshot).needs(request, key, is_gang=is_gang)
