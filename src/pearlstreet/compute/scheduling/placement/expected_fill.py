"""Expected fill, our own policy: place each task where the center loses least of its capacity for future tasks.

The value of a node is simulated: streams of requests, drawn from the recent workload and including CPU-only ones, are
packed on it one request after the other. A request that fits is taken, a share from the tightest device. The value is how
much of the node's devices is filled at the end. A task goes where the value falls least; for a share every device is
considered. Shapes that few nodes can take (several devices, or not every model) also have a bid price: the value of one
such task, times the probability that more of them arrive than places are left before the center is full (Poisson).
Between equal losses packing decides.

Related work: the fragmentation gradient of Weng et al., "Beware of Fragmentation" (ATC 2023), looks one request ahead,
this policy whole streams; rollout is from Bertsekas, Tsitsiklis and Wu, "Rollout Algorithms for Combinatorial
Optimization" (1997); bid prices are from network revenue management (Talluri and van Ryzin, 1998).

Without a record of the workload, waiting and running jobs stand in for it (fill/demand.py); without these every node
has the value zero and packing alone decides. All amounts are integers, so that the compiled kernels and NumPy
answer the same.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from weakref import WeakKeyDictionary

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.placement.fill import arrays
from pearlstreet.compute.scheduling.placement.fill.demand import Demand, demand_of
from pearlstreet.compute.scheduling.placement.fill.kernel import FillKernel
from pearlstreet.compute.scheduling.placement.fill.state import (
    NEVER,
    STEP,
    FillRequest,
    Free,
    Notes,
    free_of,
)
from pearlstreet.compute.scheduling.placement.protocol import NO_MORE, Choice, Spot
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_RUNNERS = 3
"""Number of next higher totals that a choice reports."""
_FITS_MAX = 256
_ASKS_BYTES = 256 << 20
"""Bytes of remembered requests for one free capacity; the least recently used go first."""


class _Board:
    """Known values of one free capacity: the value of each node and, for each request, its loss on each node."""

    def __init__(self, capacity: FreeCapacity, demand: Demand, kernel: FillKernel) -> None:
        self.capacity, self.demand, self.kernel = capacity, demand, kernel
        count, groups = capacity.count, len(demand.tables.group_count)
        self.free = free_of(capacity)
        zero = np.zeros(count, dtype=np.int64)
        self.notes = Notes(zero.copy(), zero.copy(), zero.copy(), np.zeros((count, groups), dtype=np.int16))
        self.held: Free | None = None
        self.asks: OrderedDict[tuple[tuple[Need, ...], bool], FillRequest] = OrderedDict()
        self.seen = 0
        self.held_seen = 0
        self.unseen: list[int] = []
        self.fits: OrderedDict[Need, tuple[I64, I64]] = OrderedDict()
        self._equal: I64 = np.zeros(count, dtype=np.int64)
        self.asked: tuple[FillRequest, I64] | None = None
        """Last search: its request and its bid prices."""
        self.left: I64 = np.zeros(groups, dtype=np.int64)
        self.space = 0
        self._priced_at, self._price = -1, self.left
        self._note(np.arange(count))

    def move(self, capacity: FreeCapacity) -> None:
        """Continue with the next cycle's free capacity of the same machines; only nodes that differ are valued again."""
        old, self.capacity, self.seen, self.held, self.held_seen = (
            self.free,
            capacity,
            len(capacity.touched),
            None,
            0,
        )
        self.free = new = free_of(capacity)
        other = (old.cpu != new.cpu) | (old.memory != new.memory) | (old.schedulable != new.schedulable)
        changed = {*self.unseen, *other.nonzero()[0].tolist()}
        other = (old.device_memory != new.device_memory) | (old.device_compute != new.device_compute)
        other |= old.usable != new.usable
        if other.any():
            changed.update(other.nonzero()[0].tolist())
        self.unseen = []
        for key in [(needs, lasting) for needs, lasting in self.asks if lasting]:
            del self.asks[key]  # reservations are made anew in every cycle
        self._priced_at = -1
        if changed:
            self._renote(np.array(sorted(changed), dtype=np.int64))

    def end_cycle(self) -> None:
        """End the cycle; nodes changed since the last search are valued when the next cycle begins."""
        self.unseen = sorted(set(self.capacity.touched[self.seen :]))

    def sync(self) -> None:
        """Value the changed nodes again."""
        touched = self.capacity.touched
        if self.seen < len(touched):
            rows = np.array(sorted(set(touched[self.seen :])), dtype=np.int64)
            self.seen = len(touched)
            self._renote(rows)

    def _renote(self, rows: I64) -> None:
        self.left -= self.notes.slots[rows].sum(axis=0)
        self.space -= int(self.notes.capacity[rows].sum())
        self._note(rows)

    def _note(self, rows: I64) -> None:
        self.kernel.note(rows, self.free, self.notes)
        self.left += self.notes.slots[rows].sum(axis=0)
        self.space += int(self.notes.capacity[rows].sum())

    def view(self, lasting: bool) -> Free:
        """Return the capacity a job may take: all that is free, or, if it may outlast a reservation, what the reservation leaves."""
        if not lasting:
            return self.free
        capacity, touched = self.capacity, self.capacity.touched
        rows: Rows = ALL if self.held is None else np.array(touched[self.held_seen :], dtype=np.int64)
        self.held_seen = len(touched)
        if self.held is None:
            part = self.free
            self.held = part._replace(
                cpu=part.cpu.copy(), memory=part.memory.copy(),
                device_memory=part.device_memory.copy(), device_compute=part.device_compute.copy(),
            )  # fmt: skip
        self.held.cpu[rows], self.held.memory[rows] = (
            capacity.free_cpu(rows, True),
            capacity.free_memory(rows, True),
        )
        self.held.device_memory[rows], self.held.device_compute[rows] = capacity.free_devices(rows, True)
        return self.held

    def ask(self, needs: tuple[Need, ...], lasting: bool) -> FillRequest:
        """Return the request's entries, made anew when it was not asked about lately."""
        key = needs, lasting
        found = self.asks.get(key)
        if found is not None:
            self.asks.move_to_end(key)
            return found
        count, groups = self.capacity.count, len(self.demand.tables.group_count)
        found = FillRequest(
            needs[0].cpu, needs[0].memory, needs[0].count,
            np.array([need.model for need in needs], dtype=np.int64),
            np.array([need.share_memory for need in needs], dtype=np.int64),
            np.array([need.share_compute for need in needs], dtype=np.int64),
            min(self._volume(need) for need in needs),
            stamp=np.full(count, -1, dtype=np.int64),
            loss=np.zeros(count, dtype=np.int64),
            device=np.zeros(count, dtype=np.int16),
            which=np.zeros(count, dtype=np.int16),
            spent=np.zeros((count, groups), dtype=np.int16),
            second=np.zeros(count, dtype=np.int32),
            equal=self._equal,
        )  # fmt: skip
        self.asks[key] = found
        most = max(4, _ASKS_BYTES // max(count * (24 + 2 * groups), 1))
        while len(self.asks) > most:
            self.asks.popitem(last=False)
        return found

    def fit(self, need: Need) -> I64:
        """Return how many tasks each node can take now, reservations aside."""
        known = self.fits.get(need)
        if known is None:
            if len(self.fits) >= _FITS_MAX:
                self.fits.popitem(last=False)
            known = self.fits[need] = self.capacity.fit(need, ALL, False), self.notes.version.copy()
            return known[0]
        fit, stamp = known
        stale = (stamp != self.notes.version).nonzero()[0]
        if len(stale):
            fit[stale], stamp[stale] = self.capacity.fit(need, stale, False), self.notes.version[stale]
        return fit

    def _volume(self, need: Need) -> int:
        """Return the least weighted basis points by which the free capacity of a node falls."""
        if need.model < 0:
            return 0
        part = FULL_BP * need.count
        if need.is_share:
            mine = self.capacity.model == need.model
            total = int(self.capacity.device_total[mine].max(initial=1))
            part = min(need.share_compute, need.share_memory * FULL_BP // max(total, 1))
        return part * int(self.demand.tables.weight[need.model])

    def price(self) -> I64:
        """Return the value of a slot of each large shape: its volume, if more are expected than fit."""
        if self._priced_at == self.seen:
            return self._price
        demand = self.demand
        coming = self.space / demand.mean_volume if demand.mean_volume else 0.0
        slots = zip(demand.group_worth, demand.group_rate, self.left.tolist(), strict=True)
        self._priced_at = self.seen
        self._price = np.array(
            [round(worth * _at_least(rate * coming, left)) for worth, rate, left in slots], dtype=np.int64
        )
        return self._price


def _at_least(mean: float, count: int) -> float:
    """Return the chance that a Poisson number of that mean is at least `count` (Wilson and Hilferty's cube root)."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    deviation = (math.cbrt(mean / count) - 1 + 1 / (9 * count)) * 3 * math.sqrt(count)
    return 0.5 * math.erfc(-deviation / math.sqrt(2))


class ExpectedFill:
    """The scorer of one cycle, or of an online placer's lifetime."""

    joint = True

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> None:
        self._demand = demand = demand_of(snapshot, cache)
        self._kernel = cache.topology(snapshot).memo(demand, lambda: FillKernel(demand.tables))
        self._boards: WeakKeyDictionary[FreeCapacity, _Board] = WeakKeyDictionary()
        self._units: dict[int, int] = {}

    def _board(self, capacity: FreeCapacity) -> _Board:
        board = self._boards.get(capacity)
        if board is None:
            board = self._boards[capacity] = self._kept(capacity) or _Board(
                capacity, self._demand, self._kernel
            )
        board.sync()
        return board

    def _kept(self, capacity: FreeCapacity) -> _Board | None:
        """Return the board of the cycle before, if that knew the same demand."""
        board: _Board | None = capacity.topology_cache.take(self._demand) if capacity.whole_center else None
        if board is not None:
            board.move(capacity)
        return board

    def fit(self, capacity: FreeCapacity, need: Need) -> I64:
        """Return how many tasks each node can take now, reservations aside."""
        return self._board(capacity).fit(need)

    def end_cycle(self) -> None:
        """End the cycle and keep its known values for the next."""
        for capacity, board in list(self._boards.items()):
            if capacity.whole_center:
                board.end_cycle()
                del self._boards[capacity]
                capacity.topology_cache.put(self._demand, board)

    def best(self, capacity: FreeCapacity, needs: tuple[Need, ...], lasting: bool) -> Spot | None:
        """Return the best place for one task, on whichever of the models costs least."""
        if not needs:
            return None
        board = self._board(capacity)
        view, ask, price = board.view(lasting), board.ask(needs, lasting), board.price()
        equal = self._kernel.search(board.free, view, board.notes, ask, price)
        board.asked = ask, price
        if equal == 0:
            return None
        node = ask.equal[0] if equal == 1 else capacity.first(ask.equal[:equal])
        device = int(ask.device[node])
        return Spot(int(node), needs[int(ask.which[node])], device if device >= 0 else None, int(equal) - 1)

    def choice(self, capacity: FreeCapacity, spot: Spot) -> Choice:
        """Return what the last search saw beside its spot: nodes that a bound ruled out were not looked at."""
        board = self._boards[capacity]
        assert board.asked is not None
        ask, price = board.asked
        rows = np.flatnonzero((ask.stamp == board.notes.version) & (ask.loss != NEVER))
        total = arrays.totals(rows, ask, price)
        totals, nodes = [NO_MORE] * (_RUNNERS + 1), [0] * (_RUNNERS + 1)
        for place in range(_RUNNERS + 1):
            at = int(total.argmin()) if len(total) else 0
            if not len(total) or total[at] == NEVER:
                break
            totals[place], nodes[place] = int(total[at]), int(rows[at])
            total[total == total[at]] = NEVER
        return Choice(totals, nodes, spot.equal, STEP, self._unit(spot.need.model))

    def told(self, need: Need, choice: Choice) -> Choice:
        """Return the choice with totals in devices' worth of capacity lost for later tasks; packing decides between equal ones."""
        return choice._replace(step=STEP, unit=self._unit(need.model))

    def _unit(self, model: int) -> int:
        """Return a device of the model, full in all streams."""
        unit = self._units.get(model)
        if unit is None:
            tables = self._demand.tables
            weight = int(tables.weight[model] if model >= 0 else tables.weight.max(initial=1))
            unit = self._units[model] = max(tables.streams * weight * FULL_BP, 1)
        return unit

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        """Return the loss of one task on each node; to be asked again after each task, which changes its node's value."""
        board = self._board(capacity)
        numbers = np.arange(capacity.count) if isinstance(rows, slice) else rows
        view, ask, price = board.view(lasting), board.ask((need,), lasting), board.price()
        self._kernel.renew(numbers, board.free, view, board.notes, ask, price)
        total = arrays.totals(numbers, ask, price)
        return np.where(total == NEVER, np.inf, total.astype(np.float64)), np.minimum(fit, 1)

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        """Return the device whose cut costs the node least."""
        lasting = lasting and capacity.reserved
        row = np.array([node], dtype=np.int64)
        self.score(capacity, need, row, row, lasting)
        device = int(self._board(capacity).ask((need,), lasting).device[node])
        return device if device >= 0 else None
