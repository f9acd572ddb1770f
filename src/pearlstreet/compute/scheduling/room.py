"""What is free while one cycle runs: copies of the snapshot's arrays that placements are taken out of.

Nodes are held in a canonical order made from what they are and hold, not from their names, so that ties are broken the
same way however the nodes are called or listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.scheduling.model import I32, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.rows import Request, match_models

PLENTY = 1 << 40
"""More of anything than a center has."""
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, the usual multiplicative hash

Rows = I64 | slice
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Need:
    """One request on one model: what a single task takes. `model` is -1 without an accelerator."""

    key: tuple[int, int]
    cpu: int
    memory: int
    model: int
    count: int
    share_memory: int
    share_compute: int
    """Both 0 unless part of a device is asked for."""
    gflops: int
    """Normalised compute of one task."""
    card_bp: int
    """Cards of one task in basis points."""

    @property
    def is_share(self) -> bool:
        return self.model >= 0 and self.count == 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one task was given: a node (canonical number), positions in its row, and how much of each."""

    node: int
    positions: tuple[int, ...]
    memory: tuple[int, ...]
    compute: tuple[int, ...]


def _mixed(columns: list[NDArray[np.int64]]) -> NDArray[np.uint64]:
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        total = (total ^ column.astype(np.uint64)) * _MIX
        total ^= total >> np.uint64(29)
    return total


def canonical_order(snapshot: Snapshot) -> I64:
    """Original node numbers in an order that does not depend on how nodes are called or listed."""
    nodes, running = snapshot.nodes, snapshot.running
    count = nodes.count
    columns: list[NDArray[np.int64]] = [nodes.schedulable.astype(np.int64), nodes.cpu_free, nodes.cpu_total]
    columns += [nodes.memory_free, nodes.memory_total]
    for d in range(nodes.width):
        columns += [
            nodes.device_model[:, d].astype(np.int64) * 64 + nodes.device_link[:, d],
            nodes.device_healthy[:, d].astype(np.int64),
            nodes.device_memory_total[:, d],
            nodes.device_memory_free[:, d] * 16384 + nodes.device_compute_free[:, d],
        ]
    ends = running.expected_end_us[running.task_attempt] // 1000
    held = np.zeros(count, dtype=np.int64)
    np.add.at(held, running.task_node, ends * 8191 + running.task_cpu)
    mixed = _mixed([*columns, held]) if count else np.zeros(0, dtype=np.uint64)
    for group in (nodes.rack, nodes.pod):
        near = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.uint64)
        np.add.at(near, group[group >= 0], mixed[group >= 0])
        around = np.where(group >= 0, near[group], 0) if len(near) else np.zeros(count, dtype=np.uint64)
        mixed = _mixed([mixed.astype(np.int64), around.astype(np.int64)]) if count else mixed
    return np.argsort(mixed, kind="stable").astype(np.int64)


class Room:
    """Free amounts by node and device, and what reservations leave of them to jobs that run past their start."""

    def __init__(self, snapshot: Snapshot) -> None:
        nodes = snapshot.nodes
        order = canonical_order(snapshot)
        self.original = order
        self.canonical = np.empty(len(order), dtype=np.int64)
        self.canonical[order] = np.arange(len(order))
        self.schedulable: Bools = nodes.schedulable[order]
        self.rack: I32 = nodes.rack[order]
        self.pod: I32 = nodes.pod[order]
        self.link: I32 = nodes.device_link[order]
        self.model: I32 = nodes.device_model[order]
        self.device_total: I64 = nodes.device_memory_total[order]
        self.usable: Bools = nodes.device_healthy[order] & (self.model >= 0) & self.schedulable[:, None]
        self.has_device: Bools = np.asarray((self.model >= 0).any(axis=1))
        self.cpu_total: I64 = nodes.cpu_total[order]
        self.memory_total: I64 = nodes.memory_total[order]
        self.cpu: I64 = nodes.cpu_free[order]
        self.memory: I64 = nodes.memory_free[order]
        self.device_memory: I64 = nodes.device_memory_free[order]
        self.device_compute: I64 = nodes.device_compute_free[order]
        self.reserved = False
        self._open_caps()
        self.touched: list[int] = []

    def _open_caps(self) -> None:
        self.cap_cpu = np.full(self.count, PLENTY, dtype=np.int64)
        self.cap_memory = np.full(self.count, PLENTY, dtype=np.int64)
        self.cap_device_memory = np.full(self.model.shape, PLENTY, dtype=np.int64)
        self.cap_device_compute = np.full(self.model.shape, PLENTY, dtype=np.int64)

    @property
    def count(self) -> int:
        """How many nodes."""
        return len(self.original)

    def with_free(self, cpu: I64, memory: I64, device_memory: I64, device_compute: I64) -> Room:
        """The same nodes with other free amounts and no reservations: a question about another moment."""
        other = object.__new__(Room)
        other.__dict__.update(self.__dict__)
        other.cpu, other.memory = cpu, memory
        other.device_memory, other.device_compute = device_memory, device_compute
        other.reserved, other.touched = False, []
        return other

    def emptied(self) -> Room:
        """The same nodes with nothing in use, every node and device in service."""
        other = self.with_free(
            self.cpu_total.copy(),
            self.memory_total.copy(),
            self.device_total.copy(),
            np.where(self.model >= 0, FULL_BP, 0),
        )
        other.schedulable = np.ones(self.count, dtype=np.bool_)
        other.usable = self.model >= 0
        return other

    def take(self, chunk: Chunk, need: Need, *, lasting: bool) -> None:
        """Give `chunk` away; `lasting` when it may still be held at the start of a reservation."""
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
        """Devices of that model (any when -1) that nobody holds a part of and that may be given."""
        memory, compute = self.free_devices(rows, lasting)
        free = (memory == self.device_total[rows]) & (compute == FULL_BP) & self.usable[rows]
        return np.asarray(free if model < 0 else free & (self.model[rows] == model))

    def copies(self, need: Need, rows: Rows, lasting: bool) -> I64:
        """How often the share fits on each device."""
        memory, compute = self.free_devices(rows, lasting)
        times = np.where(self.usable[rows] & (self.model[rows] == need.model), PLENTY, 0)
        if need.share_memory:
            times = np.minimum(times, memory // need.share_memory)
        if need.share_compute:
            times = np.minimum(times, compute // need.share_compute)
        return np.maximum(times, 0)

    def fit(self, need: Need, rows: Rows, lasting: bool) -> I64:
        """How many tasks each node of `rows` can take now."""
        times = np.where(self.schedulable[rows], PLENTY, 0)
        if need.cpu:
            times = np.minimum(times, self.free_cpu(rows, lasting) // need.cpu)
        if need.memory:
            times = np.minimum(times, self.free_memory(rows, lasting) // need.memory)
        if need.count:
            times = np.minimum(times, self.whole(need.model, rows, lasting).sum(axis=1) // need.count)
        elif need.is_share:
            times = np.minimum(times, self.copies(need, rows, lasting).sum(axis=1))
        return np.maximum(times, 0)


def needs_of(snapshot: Snapshot, request_index: int) -> tuple[Need, ...]:
    """The request on each model that it allows, weakest model first, so that strong ones stay for who names them."""
    return request_needs(snapshot, snapshot.requests[request_index], request_index)


def request_needs(snapshot: Snapshot, request: Request, key: int = -1) -> tuple[Need, ...]:
    """As `needs_of`, for a request that need not be in the snapshot. Sizes of equal models are taken as equal."""
    if not request.wants_device:
        return (Need((key, -1), request.cpu_milli, request.memory_mib, -1, 0, 0, 0, 0, 0),)
    allowed = set(match_models(request.accelerators, snapshot.models))
    numbers = [m for m, model in enumerate(snapshot.models) if model in allowed]
    numbers.sort(key=lambda m: (int(snapshot.model_gflops[m]), snapshot.models[m]))
    needs = []
    for m in numbers:
        gflops, card, share = int(snapshot.model_gflops[m]), FULL_BP * request.count, Share(0, 0)
        if request.share is not None:
            mask = snapshot.nodes.device_model == m
            total = Share(int(snapshot.nodes.device_memory_total[mask].min(initial=PLENTY)), FULL_BP)
            share = request.share.on(total)
            if not share:
                share = Share(0, 1)
            card = card_bp(share, total)
        needs.append(
            Need(
                key=(key, m),
                cpu=request.cpu_milli,
                memory=request.memory_mib,
                model=m,
                count=request.count,
                share_memory=share.memory_mib,
                share_compute=share.compute_bp,
                gflops=gflops * card // FULL_BP,
                card_bp=card,
            )
        )
    return tuple(needs)
