"""Values that depend only on a center's machines, computed once for successive snapshots of the same machines.

The caller of `plan` keeps a `PlannerCache` and passes it; plans are the same with and without it. Arrays are compared by
identity: builders give successive snapshots the same arrays while the machines are the same, and new ones otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Nodes, Snapshot
from pearlstreet.compute.scheduling.need import PLENTY, Need, NeedKey
from pearlstreet.compute.scheduling.rows import Request, match_models

T = TypeVar("T")

_GFLOPS, _MILLI, _MIB = 1e6, 1e3, 1024.0
_REQUESTS_MAX = 20_000
_KEPT_MAX = 4
_MEMOS_MAX = 32


class TopologyCache:
    """Machines of one center: totals and models; what is free or out of service is no part of it."""

    def __init__(
        self, models: tuple[str, ...], gflops: I64, nodes: Nodes, domain_names: tuple[str, ...] = ()
    ) -> None:
        self.models, self.gflops, self.domain_names = models, gflops, domain_names
        self.model, self.link = nodes.device_model, nodes.device_link
        self.rack, self.pod, self.domain = nodes.rack, nodes.pod, nodes.domain
        self.device_total, self.cpu_total = nodes.device_memory_total, nodes.cpu_total
        self.memory_total = nodes.memory_total
        self.hashes: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None
        """Hashes that `ties` stores."""
        self._requests = _Asked(())
        self._needs: dict[tuple[Request, int, bool], tuple[Need, ...]] = {}
        self.ever: dict[Need, I64] = {}
        """Tasks that each node could hold if it were empty and in service."""
        self._kept_values: dict[object, object] = {}
        self._memos: dict[Hashable, Any] = {}
        self.last_demand: Any = None
        """Demand that `fill.demand` asked for last."""

    def of(self, snapshot: Snapshot) -> bool:
        """Return whether the snapshot has the machines of this cache."""
        nodes = snapshot.nodes
        return (
            nodes.device_model is self.model
            and nodes.device_memory_total is self.device_total
            and nodes.cpu_total is self.cpu_total
            and nodes.memory_total is self.memory_total
            and nodes.device_link is self.link
            and nodes.rack is self.rack
            and nodes.pod is self.pod
            and nodes.domain is self.domain
            and snapshot.models == self.models
            and snapshot.model_gflops is self.gflops
            and snapshot.domains == self.domain_names
        )

    # Machines

    @cached_property
    def model64(self) -> I64:
        """[N, D] models, as wide as amounts are."""
        return self.model.astype(np.int64)

    @cached_property
    def present(self) -> Bools:
        """[N, D] positions at which there is a device."""
        return np.asarray(self.model >= 0)

    @cached_property
    def has_device(self) -> Bools:
        """Nodes with any accelerator."""
        return np.asarray(self.present.any(axis=1))

    @cached_property
    def full_compute(self) -> I64:
        """[N, D] basis points of a device that nobody uses."""
        return np.where(self.present, FULL_BP, 0)

    @cached_property
    def devices(self) -> I64:
        """Devices of each node."""
        return np.asarray(self.present.sum(axis=1))

    @cached_property
    def pool_capacity(self) -> F64:
        """Normalised PFLOPS, cores and GiB of the whole center; never 0."""
        cards = np.bincount(self.model[self.present], minlength=len(self.models))
        totals = np.array(
            [
                float(cards @ self.gflops) / _GFLOPS if len(self.models) else 0.0,
                float(self.cpu_total.sum()) / _MILLI,
                float(self.memory_total.sum()) / _MIB,
            ]
        )
        return np.where(totals > 0, totals, 1.0)

    @cached_property
    def fleet(self) -> tuple[tuple[int, ...], bytes, bytes, bytes, bytes]:
        """Hashable description of all machines, used as a cache key."""
        columns = (self.cpu_total, self.memory_total, self.model, self.device_total)
        cpu, memory, model, device_memory = (column.tobytes() for column in columns)
        return self.model.shape, cpu, memory, model, device_memory

    @cached_property
    def rates(self) -> tuple[int, ...]:
        """Normalised GFLOPS of each model."""
        return tuple(self.gflops.tolist())

    # Requests

    @cached_property
    def domains(self) -> int:
        """Number of domains, which no gang may span."""
        return int(self.domain.max(initial=-1)) + 1

    def needs(self, request: Request, key: int, *, is_gang: bool = False) -> tuple[Need, ...]:
        """Return the request on each model that it allows, weakest model first.

        Of a gang, and of a request that names domains, each in each domain that it allows and that has the model.
        """
        is_gang = is_gang and self.domains > 1
        found = self._needs.get((request, key, is_gang))
        if found is None:
            if len(self._needs) > _REQUESTS_MAX:
                self._needs.clear()
                self.ever.clear()
            found = self._made(request, key)
            if is_gang or not set(request.domains or self.domain_names) >= set(self.domain_names):
                found = tuple(one for need in found for one in self._in_domains(need, request.domains))
            self._needs[request, key, is_gang] = found
        return found

    def _in_domains(self, need: Need, names: tuple[str, ...]) -> list[Need]:
        """Return the need in each domain that has its model; of these names, if there are any."""
        having = self.domain if need.model < 0 else self.domain[(self.model == need.model).any(axis=1)]
        return [
            replace(need, key=need.key._replace(domain=domain), domain=domain)
            for domain in np.unique(having).tolist()
            if not names or self.domain_names[domain] in names
        ]

    def _made(self, request: Request, key: int) -> tuple[Need, ...]:
        if not request.wants_device:
            return (Need(NeedKey(key, -1), request.cpu_milli, request.memory_mib, -1, 0, 0, 0, 0, 0),)
        allowed = set(match_models(request.accelerators, self.models))
        numbers = [m for m, model in enumerate(self.models) if model in allowed]
        numbers.sort(key=lambda m: (int(self.gflops[m]), self.models[m]))
        needs = []
        for m in numbers:
            gflops, card, share = int(self.gflops[m]), FULL_BP * request.count, Share(0, 0)
            if request.share is not None:
                total = Share(int(self.device_total[self.model == m].min(initial=PLENTY)), FULL_BP)
                share = request.share.on(total)
                if not share:
                    share = Share(0, 1)
                card = card_bp(share, total)
            needs.append(
                Need(
                    key=NeedKey(key, m),
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

    def asked(self, requests: tuple[Request, ...]) -> _Asked:
        """Return the values derived from a list of requests; those of the last list are cached."""
        found = self._requests
        if found.requests is not requests:
            found = self._requests = _Asked(requests)
        return found

    def demands(self, requests: tuple[Request, ...]) -> F64:
        """Return [requests, 3] share of the center that one task takes, by resource."""
        asked = self.asked(requests)
        if asked.demands is None:
            rows = np.zeros((len(requests), 3))
            for i, request in enumerate(requests):
                gflops = min((need.gflops for need in self.needs(request, i)), default=0)
                rows[i] = (gflops / _GFLOPS, request.cpu_milli / _MILLI, request.memory_mib / _MIB)
            rows /= self.pool_capacity
            asked.demands = rows
        return asked.demands

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the kept value of the key, or call `make` for it and keep that; keys unused for long are dropped."""
        found: T = self._memos.pop(key, None) or make()
        self._memos[key] = found
        while len(self._memos) > _MEMOS_MAX:
            self._memos.pop(next(iter(self._memos)))
        return found

    # What searches leave for the next cycle

    def take(self, key: Any) -> Any:
        """Remove and return what was kept under the key; None: nothing was."""
        return self._kept_values.pop(key, None)

    def put(self, key: Any, value: Any) -> None:
        """Keep a value for the next `take`; the oldest are dropped beyond the limit."""
        self._kept_values.pop(key, None)
        self._kept_values[key] = value
        while len(self._kept_values) > _KEPT_MAX:
            self._kept_values.pop(next(iter(self._kept_values)), None)


class _Asked:
    """Values derived from one list of requests."""

    def __init__(self, requests: tuple[Request, ...]) -> None:
        self.requests = requests
        self.demands: NDArray[np.float64] | None = None

    @cached_property
    def devices(self) -> NDArray[np.int64]:
        """Devices of one task; a part of one, or none, counts as one."""
        return np.array([max(request.count, 1) for request in self.requests], dtype=np.int64)


class PlannerCache:
    """Values that successive plans of one center reuse. One thread at a time may use it."""

    def __init__(self) -> None:
        self._topology: TopologyCache | None = None

    def topology(self, snapshot: Snapshot) -> TopologyCache:
        """Return the values of the snapshot's machines: those of the plan before while the machines are the same."""
        if self._topology is None or not self._topology.of(snapshot):
            self._topology = TopologyCache(
                snapshot.models, snapshot.model_gflops, snapshot.nodes, snapshot.domains
            )
        return self._topology
