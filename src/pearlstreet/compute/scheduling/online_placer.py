"""Places one request after another on the same machines, for referees, benchmarks and dry runs.

It decides with the same capacity, selector and registered policies as a cycle; it has no queue, quotas or preemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.capacity import Chunk, FreeCapacity, Need, request_needs
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.placement.selector import NodeSelector
from pearlstreet.compute.scheduling.registry import PLACEMENTS, check_config
from pearlstreet.compute.scheduling.rows import NodeRow, PflopsOf, Request, most_requested
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


@dataclass(frozen=True, slots=True)
class Seat:
    """Allocation of one task; `OnlinePlacer.release` takes it back."""

    node: str
    devices: tuple[int, ...]
    """The engine's numbers of the devices."""
    need: Need
    chunk: Chunk


class OnlinePlacer:
    """Decides for one request at a time. Without a workload it learns one from what it is asked.

    It then computes the demand anew each time the number of requests has doubled.
    """

    def __init__(
        self,
        nodes: Iterable[NodeRow],
        config: PlannerConfig,
        *,
        workload: Mapping[Request, int] | None = None,
        pflops_of: PflopsOf = lambda model: 1.0,
    ) -> None:
        check_config(config)
        self._config, self._cache = config, PlannerCache()
        self.snapshot: Snapshot = build(now_us=0, nodes=nodes, workload=workload, pflops_of=pflops_of)
        self._learns = not self.snapshot.workload
        self._asked: Counter[Request] = Counter()
        self._needs: dict[Request, tuple[Need, ...]] = {}
        self.capacity = FreeCapacity(self.snapshot, self._cache)
        self._selector = self._make()

    def _make(self) -> NodeSelector:
        return NodeSelector(
            self.capacity, PLACEMENTS[self._config.placement](self.snapshot, self._config, self._cache)
        )

    def place(self, request: Request) -> Seat | None:
        """Place the task; None when it fits on no node."""
        if self._learns:
            self._learn(request)
        needs = self._needs.get(request)
        if needs is None:
            needs = self._needs[request] = request_needs(
                self.snapshot, request, len(self._needs), cache=self._cache
            )
        for group in (needs,) if self._selector.scorer.joint else tuple((need,) for need in needs):
            for need, chunk in self._selector.singles(group, 1, False):
                index = self.snapshot.nodes.device_index[chunk.node]
                devices = tuple(int(index[position]) for position in chunk.positions)
                return Seat(self.snapshot.nodes.names[chunk.node], devices, need, chunk)
        return None

    def release(self, seat: Seat) -> None:
        """Take the task's place back."""
        self.capacity.give_back(seat.chunk, seat.need)

    def _learn(self, request: Request) -> None:
        self._asked[request] += 1
        asked = self._asked.total()
        if asked & (asked - 1) == 0:
            self.snapshot = replace(self.snapshot, workload=most_requested(self._asked.items()))
            self._selector = self._make()
