"""Quick check whether any waiting job could be placed, so that the planner is not called when none could.

Reservations, quotas and order only delay jobs: if no waiting shape (request and tasks) fits the free capacity, a plan
starts nothing. Between two ends free capacity only shrinks, so a shape that did not fit is not checked until the next end.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.replay.state import State
from pearlstreet.compute.scheduling.capacity import Need, request_needs
from pearlstreet.compute.scheduling.model import I64, Bools

Shape = tuple[int, int]

"""Number of the request, tasks."""


class Fitting:
    """Counts what waits by shape and remembers which shapes do not fit."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._needs: dict[tuple[int, bool], tuple[Need, ...]] = {}
        self._full: set[Shape] = set()
        self.waiting: dict[Shape, int] = {}

    def add(self, shape: Shape) -> None:
        """Count a waiting job of this shape."""
        self.waiting[shape] = self.waiting.get(shape, 0) + 1

    def remove(self, shape: Shape) -> None:
        """Remove a job of this shape from the waiting ones."""
        left = self.waiting[shape] - 1
        if left:
            self.waiting[shape] = left
        else:
            del self.waiting[shape]

    def released(self) -> None:
        """Record that resources were released."""
        self._full.clear()

    def any_fits(self) -> bool:
        """Return whether some job that waits fits on what is free."""
        for shape in self.waiting:
            if shape in self._full:
                continue
            if self.fits(shape):
                return True
            self._full.add(shape)
        return False

    def needs(self, request: int, tasks: int = 1) -> tuple[Need, ...]:
        """Return the needs of one task, by device model, and of gangs by domain."""
        key = request, tasks > 1
        found = self._needs.get(key)
        if found is None:
            asked = self._state.trace.requests[request]
            found = self._needs[key] = request_needs(self._state.empty, asked, request, is_gang=tasks > 1)
        return found

    def fits(self, shape: Shape) -> bool:
        """Return whether all tasks fit at once."""
        return any(self.tasks_that_fit(need, shape[1]) >= shape[1] for need in self.needs(*shape))

    def tasks_that_fit(self, need: Need, most: int) -> int:
        """Return how many tasks fit, at most `most` on a node."""
        nodes = self._state.nodes
        times = np.where(nodes.schedulable, most, 0)
        if need.domain >= 0:
            times[nodes.domain != need.domain] = 0
        if need.cpu:
            np.minimum(times, nodes.cpu_free // need.cpu, out=times)
        if need.memory:
            np.minimum(times, nodes.memory_free // need.memory, out=times)
        if need.count:
            np.minimum(times, self.whole(need.model).sum(axis=1) // need.count, out=times)
        elif need.is_share:
            np.minimum(times, self.copies(need, most).sum(axis=1), out=times)
        return int(times.sum())

    def whole(self, model: int) -> Bools:
        """Return [N, D] devices of a model that nobody holds a part of."""
        nodes = self._state.nodes
        return np.asarray(
            (nodes.device_memory_free == nodes.device_memory_total)
            & (nodes.device_compute_free == 10_000)
            & (nodes.device_model == model)
            & nodes.device_healthy
        )

    def copies(self, need: Need, most: int) -> I64:
        """Return [N, D] how often a share fits on each device, at most `most`."""
        nodes = self._state.nodes
        times = np.where((nodes.device_model == need.model) & nodes.device_healthy, most, 0)
        if need.share_memory:
            times = np.minimum(times, nodes.device_memory_free // need.share_memory)
        if need.share_compute:
            times = np.minimum(times, nodes.device_compute_free // need.share_compute)
        return np.asarray(np.maximum(times, 0))
