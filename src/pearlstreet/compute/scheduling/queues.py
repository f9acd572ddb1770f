"""Order of a cycle: jobs that waited too long, then queues by rank, inside a queue by the order policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.measures import waited
from pearlstreet.compute.scheduling.order.protocol import Columns, Keys
from pearlstreet.compute.scheduling.order.ties import by_submit, ranked
from pearlstreet.compute.scheduling.registry import ORDERS
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """Waiting jobs that are planned together, under one set of policies, in their order."""

    config: PlannerConfig
    rows: I64


class Ranking:
    """Order of the jobs of one cycle under the policies of its queues."""

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> None:
        self._snapshot, self._config, self._cache = snapshot, config, cache
        self._known: dict[PlannerConfig, Keys] = {}

    def lanes(self) -> Iterator[Lane]:
        """Yield one lane a queue, lowest rank first; all jobs in one when the center has no queues. At least one lane."""
        snapshot, config = self._snapshot, self._config
        if not config.queues:
            yield Lane(config, self._in_order(config))
            return
        rank = {queue.name: queue.rank for queue in config.queues}
        of = snapshot.waiting.queue
        named = {name: number for number, name in enumerate(snapshot.queues)}
        known = [named[queue.name] for queue in config.queues if queue.name in named]
        others = np.flatnonzero(~np.isin(of, known))
        groups = [(0, "", others)]
        groups += [
            (rank[queue.name], queue.name, np.flatnonzero(of == named.get(queue.name, -2)))
            for queue in config.queues
        ]
        for _, name, rows in sorted(groups, key=lambda group: (group[0], group[1])):
            if len(rows) or name == "":
                own = config.of_queue(name)
                order = self._in_order(own)
                yield Lane(own, order[np.isin(order, rows)])

    def _in_order(self, config: PlannerConfig) -> I64:
        snapshot = self._snapshot
        if snapshot.waiting.count < 2:
            return np.arange(snapshot.waiting.count)
        columns = (*self._overdue(config)[0], *self._keys(config).waiting, *by_submit(snapshot))
        return ranked(columns, snapshot.waiting.ids)

    def _keys(self, config: PlannerConfig) -> Keys:
        """Return the order policy's ranking: a cycle may need it twice."""
        found = self._known.get(config)
        if found is None:
            found = self._known[config] = ORDERS[config.order].keys(self._snapshot, config, self._cache)
        return found

    def _overdue(self, config: PlannerConfig) -> tuple[Columns, Columns]:
        """Return columns that put jobs that waited longer than `wait_max_s` in all first, the oldest first."""
        if config.wait_max_s <= 0:
            return (), ()
        most = round(config.wait_max_s * 1e6)

        def columns(wait: I64, submitted: I64) -> Columns:
            over = wait >= most
            return (~over).astype(np.int64), np.where(over, submitted, 0)

        wait_waiting, wait_running = waited(self._snapshot, self._cache)
        return columns(wait_waiting, self._snapshot.waiting.submitted_us), columns(
            wait_running, self._snapshot.running.submitted_us
        )

    def places(self) -> tuple[I64, I64]:
        """Place of each waiting and each running job in one ranking; running ones last where the policy cannot rank them.

        Among equals running jobs come first, so that no job is displaced by an equal one.
        """
        snapshot, config = self._snapshot, self._config
        waiting, running = snapshot.waiting.count, snapshot.running.count
        keys = self._keys(config)
        if keys.running is None:
            rank = np.empty(waiting, dtype=np.int64)
            rank[self._in_order(config)] = np.arange(waiting)
            return rank, np.full(running, -1, dtype=np.int64)
        mine, theirs = self._overdue(config)
        both = [
            np.concatenate([a, b])
            for a, b in zip((*mine, *keys.waiting), (*theirs, *keys.running), strict=True)
        ]
        runs = np.zeros(waiting + running, dtype=np.int64)
        runs[:waiting] = 1
        place = np.empty(waiting + running, dtype=np.int64)
        order = ranked((*both, runs), (*snapshot.waiting.ids, *snapshot.running.ids))
        place[order] = np.arange(waiting + running)
        return place[:waiting], place[waiting:]
