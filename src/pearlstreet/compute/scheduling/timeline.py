"""Timeline of releases: running attempts and this cycle's placements, by expected end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pearlstreet.compute.scheduling.capacity import ALL, Chunk, FreeCapacity, Need
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, UNKNOWN_US, Bools, Snapshot
from pearlstreet.compute.scheduling.placement.protocol import Scorer
from pearlstreet.compute.scheduling.placement.selector import NodeSelector

_US = 1_000_000


def fits(capacity: FreeCapacity, need: Need, tasks: int) -> bool:
    """Return whether the free capacity holds all tasks at once, without regard to reservations."""
    return int(capacity.fit(need, ALL, False).sum()) >= tasks


class EarliestFit(NamedTuple):
    """When a job first fits."""

    at_us: int
    need: Need
    guess: bool
    """Whether that rests on an assumed or predicted run time."""


class Timeline:
    """Expected ends and what each end gives back. `guess`: the end rests on an assumed run time."""

    def __init__(self, snapshot: Snapshot, capacity: FreeCapacity, config: PlannerConfig) -> None:
        running, now = snapshot.running, snapshot.now_us
        self._capacity, self._now = capacity, now
        self._assumed_us = round(config.assumed_run_s * _US)
        grace_us = round(config.grace_s * _US)
        start, end = running.started_us, running.expected_end_us
        unknown = end == UNKNOWN_US
        guessed = np.maximum(start + self._assumed_us, now + np.maximum(now - start, 0))
        guessed = np.where(running.predicted_end_us > now, running.predicted_end_us, guessed)
        end = np.where(unknown, guessed, end)
        overdue = end <= now
        end = np.where(overdue, now + grace_us, end)
        self.end: I64 = np.where(running.ending, np.minimum(end, now + grace_us), end)
        self.guess: Bools = (unknown | overdue) & ~running.ending
        told = unknown & (running.predicted_end_us > now)
        self._blind: Bools = self.guess & ~told
        self._late: I64 = np.where(told, np.maximum(running.predicted_high_us, end), end)
        self._running = running
        self._opened = False
        self._new: list[tuple[int, bool, Need, Sequence[Chunk]]] = []
        self.visible = capacity
        """Choose the nodes and devices that later calls count: the whole free capacity, or the part that a job may take."""
        width = capacity.model.shape
        self.held_cpu = np.zeros(capacity.count, dtype=np.int64)
        self.held_memory = np.zeros(capacity.count, dtype=np.int64)
        self.held_device_memory = np.zeros(width, dtype=np.int64)
        self.held_device_compute = np.zeros(width, dtype=np.int64)

    def placed(self, need: Need, chunks: Sequence[Chunk], limit_us: int) -> None:
        """Record the places given in this cycle."""
        end = self._now + (limit_us or self._assumed_us)
        self._new.append((end, limit_us == 0, need, chunks))

    def latest(self, at_us: int) -> int | None:
        """Return the latest predicted end of everything expected to end until then; None: some end is unknown."""
        count = len(self._blind)
        needed = self.end[:count] <= at_us
        if self._blind[needed].any() or self.guess[count:][self.end[count:] <= at_us].any():
            return None
        return max(at_us, int(self._late[needed].max(initial=at_us)))

    def _open(self) -> None:
        """Make the arrays of what is held, when they are first needed."""
        running = self._running
        self._opened = True
        self._task_attempt = running.task_attempt.astype(np.int64)
        self._task = np.array([running.task_node, running.task_cpu, running.task_memory], dtype=np.int64)
        flat = running.device_node.astype(np.int64) * self._capacity.model.shape[1] + running.device_position
        self._device_attempt = running.device_attempt.astype(np.int64)
        self._device = np.array([flat, running.device_memory, running.device_compute], dtype=np.int64)

    def _fold(self) -> None:
        """Write the recorded placements into the arrays."""
        if not self._opened:
            self._open()
        if not self._new:
            return
        base = len(self.end)
        tasks, devices = [], []
        for i, (_, _, need, chunks) in enumerate(self._new):
            for chunk in chunks:
                tasks.append((base + i, chunk.node, need.cpu, need.memory))
                for d, memory, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True):
                    flat = chunk.node * self._capacity.model.shape[1] + d
                    devices.append((base + i, flat, memory, compute))
        t = np.array(tasks, dtype=np.int64).reshape(-1, 4)
        v = np.array(devices, dtype=np.int64).reshape(-1, 4)
        self.end = np.concatenate([self.end, np.array([end for end, *_ in self._new], dtype=np.int64)])
        self.guess = np.concatenate(
            [self.guess, np.array([guess for _, guess, *_ in self._new], dtype=np.bool_)]
        )
        self._task_attempt = np.concatenate([self._task_attempt, t[:, 0]])
        self._task = np.concatenate([self._task, t[:, 1:].T], axis=1)
        self._device_attempt = np.concatenate([self._device_attempt, v[:, 0]])
        self._device = np.concatenate([self._device, v[:, 1:].T], axis=1)
        self._new = []

    def end_soon(self, attempts: Sequence[int], at_us: int) -> None:
        """Record that these attempts are told to stop."""
        rows = np.array(attempts, dtype=np.int64)
        self.end[rows] = np.minimum(self.end[rows], at_us)
        self.guess[rows] = self._blind[rows] = False

    @property
    def count(self) -> int:
        """Number of known ends: of running attempts, then of this cycle's placements."""
        self._fold()
        return len(self.end)

    def capacity_without(self, gone: Bools, *, less_held: bool = True) -> FreeCapacity:
        """Return the free capacity after the attempts of `gone` have ended, less what reservations hold."""
        self._fold()
        capacity = self._capacity
        free = [
            capacity.cpu.copy(),
            capacity.memory.copy(),
            capacity.device_memory.flatten(),
            capacity.device_compute.flatten(),
        ]
        if gone.any():
            node, cpu, memory = self._task[:, gone[self._task_attempt]]
            flat, device_memory, device_compute = self._device[:, gone[self._device_attempt]]
            for amounts, at, back in zip(
                free, (node, node, flat, flat), (cpu, memory, device_memory, device_compute), strict=True
            ):
                np.add.at(amounts, at, back)
        topology_cache = capacity.topology_cache
        most = (
            capacity.cpu_total,
            capacity.memory_total,
            topology_cache.device_total,
            topology_cache.full_compute,
        )
        after = [np.minimum(a.reshape(b.shape), b) for a, b in zip(free, most, strict=True)]
        if less_held and capacity.reserved:
            held = (self.held_cpu, self.held_memory, self.held_device_memory, self.held_device_compute)
            after = [free - taken for free, taken in zip(after, held, strict=True)]
        later = capacity.with_free(*after)
        later.usable, later.schedulable = self.visible.usable, self.visible.schedulable
        return later

    def any_by(self, at_us: int) -> bool:
        """Return whether anything ends until then."""
        return any(end <= at_us for end, *_ in self._new) or bool((self.end <= at_us).any())

    def over_by(self, at_us: int) -> Bools:
        """Return what surely ends until then: by its limit, not by a guess."""
        self._fold()
        return np.asarray((self.end <= at_us) & ~self.guess)

    def capacity_at(self, at_us: int) -> FreeCapacity:
        """Return the free capacity at a moment, if nothing new starts."""
        self._fold()
        return self.capacity_without(self.end <= at_us)

    def earliest(self, needs: Sequence[Need], tasks: int) -> EarliestFit | None:
        """Return when the job first fits; None: never as things are."""
        self._fold()
        moments = np.unique(self.end)
        low, high = 0, len(moments)
        if not high or not self._which(int(moments[-1]), needs, tasks):
            return None
        while low < high:
            middle = (low + high) // 2
            if self._which(int(moments[middle]), needs, tasks):
                high = middle
            else:
                low = middle + 1
        at_us = int(moments[low])
        need = self._which(at_us, needs, tasks)
        return None if need is None else EarliestFit(at_us, need, bool(self.guess[self.end <= at_us].any()))

    def _which(self, at_us: int, needs: Sequence[Need], tasks: int) -> Need | None:
        capacity = self.capacity_at(at_us)
        return next((need for need in needs if fits(capacity, need, tasks)), None)

    def reserve(self, future: FreeCapacity, need: Need, tasks: int, scorer: Scorer) -> tuple[Chunk, ...]:
        """Reserve the nodes that the job will take in a future free capacity: jobs that run until then may only use the rest."""
        chunks = [chunk for _, chunk in NodeSelector(future, scorer).gang((need,), tasks, False)]
        self.hold(future, need, chunks)
        return tuple(chunks)

    def hold(self, future: FreeCapacity, need: Need, chunks: Sequence[Chunk]) -> None:
        """Reserve places that were taken out of a future free capacity."""
        capacity = self._capacity
        capacity.reserve()
        for chunk in chunks:
            n = chunk.node
            self.held_cpu[n] += need.cpu
            self.held_memory[n] += need.memory
            # `future` is without the job now: its remainder limits what may run without an end
            capacity.cap_cpu[n] = min(capacity.cap_cpu[n], future.cpu[n])
            capacity.cap_memory[n] = min(capacity.cap_memory[n], future.memory[n])
            for d, mib, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True):
                self.held_device_memory[n, d] += mib
                self.held_device_compute[n, d] += compute
                capacity.cap_device_memory[n, d] = min(
                    capacity.cap_device_memory[n, d], future.device_memory[n, d]
                )
                capacity.cap_device_compute[n, d] = min(
                    capacity.cap_device_compute[n, d], future.device_compute[n, d]
                )
            capacity.touched.append(n)
