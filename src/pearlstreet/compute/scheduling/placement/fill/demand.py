"""Expected demand: streams of requests drawn from the recent workload, and the shapes that are hard to place.

Streams are stratified: together they hold every request in its proportion, shuffled by a hash, so that two centers with
the same workload see the same streams and nothing is left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.rows import Request, match_models, most_requested
from pearlstreet.compute.scheduling.ties import mixed
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

STREAMS = 16
_LENGTH = (48, 128)
_NODES_FULL = 6
"""Length of a stream in multiples of the largest node, within `_LENGTH`: much of it finds no capacity."""
_TYPES_MAX = 1024
_QUEUE_MAX = 12
_GROUPS_MAX = 24
_SCARCE = 0.8
"""Share of the center's devices: a request that at most this share can serve makes them scarce, with a price."""
_STRONGEST = 256
"""Weight of a device of the strongest model; weaker ones by their normalised compute."""

CPU, SHARE, WHOLE = 0, 1, 2

Weighted = tuple[tuple[Request, int], ...]


class Tables(NamedTuple):
    """Streams, request types and groups as arrays; T types, M models, G groups."""

    streams: int
    length: int
    stream: I64
    """[streams × length] types"""
    kind: I64
    cpu: I64
    memory: I64
    devices: I64
    allowed: Bools
    """[T, M]"""
    share_memory: I64
    share_compute: I64
    weight: I64
    """[M] worth of one basis point of a device"""
    group_count: I64
    group_cpu: I64
    group_memory: I64
    group_allowed: Bools
    """[G, M]"""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Tables and what the bid prices rest on."""

    tables: Tables
    chance: F64
    """Probability of each request type."""
    mean_volume: float
    """Mean size of a request in weighted basis points."""
    group_rate: tuple[float, ...]
    """Slots of each group that one request takes, on average, of those that fit no node beyond the group's."""
    group_worth: tuple[int, ...]
    """Value of one slot, summed over all streams."""


Key = tuple[tuple[int, ...], bytes, bytes, bytes, bytes]
"""Key of a set of machines, whether free or not."""


class _Last(NamedTuple):
    """The demand computed last, and what it was computed from."""

    workload: Weighted
    demand: Demand


def demand_of(snapshot: Snapshot, cache: PlannerCache) -> Demand:
    """Return the demand the center has seen lately; without any record, what is asked for most in its queue."""
    topology = cache.topology(snapshot)
    rows = snapshot.workload or _queue(snapshot)
    # the workload is the same tuple in every cycle until it changes: comparing identity is faster than contents
    last: _Last | None = topology.last_demand
    if last is None or last.workload is not rows:
        demand = topology.memo(rows, lambda: _demand(rows, topology.models, topology.rates, topology.fleet))
        last = topology.last_demand = _Last(rows, demand)
    return last.demand


def _queue(snapshot: Snapshot) -> Weighted:
    """Return the most frequent requests of waiting and running jobs, their counts rounded to powers of four, for a center without records.

    Few and coarse, so that the answer seldom changes from one cycle to the next.
    """
    seen = np.bincount(
        snapshot.waiting.request, weights=snapshot.waiting.tasks, minlength=len(snapshot.requests)
    )
    known = snapshot.running.request[snapshot.running.request >= 0]
    seen = (seen + np.bincount(known, minlength=len(snapshot.requests))).astype(np.int64)
    most = np.flatnonzero(seen)
    if len(most) > _QUEUE_MAX:
        most = most[np.argsort(-seen[most], kind="stable")[:_QUEUE_MAX]]
    rows = [(snapshot.requests[i], 4 ** ((int(seen[i]).bit_length() + 1) // 2)) for i in most.tolist()]
    return most_requested(rows)


class _Kinds(NamedTuple):
    """Nodes that are alike when empty: K kinds."""

    cpu: I64
    memory: I64
    devices: I64
    """[K, M] of each model"""
    number: I64
    """Number of nodes of the kind."""


def _kinds(fleet: Key, width: int) -> tuple[_Kinds, tuple[int, ...]]:
    """Return kinds of nodes, and the device memory of each model."""
    shape, cpu, memory, model, device_memory = fleet
    models = np.frombuffer(model, dtype=np.int32).reshape(shape)
    sizes = np.frombuffer(device_memory, dtype=np.int64).reshape(shape)
    per_model = [(models == m).sum(axis=1) for m in range(width)]
    table = np.stack([np.frombuffer(cpu, np.int64), np.frombuffer(memory, np.int64), *per_model], axis=1)
    kinds, number = np.unique(table, axis=0, return_counts=True)
    largest = tuple(int(sizes[models == m].max(initial=0)) for m in range(width))
    return _Kinds(kinds[:, 0], kinds[:, 1], kinds[:, 2:], number), largest


def _count(counted: tuple[Request, int]) -> int:
    _, count = counted
    return count


def _demand(rows: Weighted, models: tuple[str, ...], gflops: tuple[int, ...], fleet: Key) -> Demand:
    rows = tuple(sorted(rows, key=_count, reverse=True)[:_TYPES_MAX])
    kinds, memory = _kinds(fleet, len(models))
    largest = int(kinds.devices.sum(axis=1).max(initial=1)) if kinds.devices.size else 1
    top = max(gflops, default=1) or 1
    weight = np.array([max(1, round(_STRONGEST * g / top)) for g in gflops], dtype=np.int64)
    types = _types(rows, models, memory, weight)
    chance = np.array([count for _, count in rows], dtype=np.float64)
    chance /= chance.sum() if len(rows) else 1.0
    mean_cards = float(chance @ (types.volume / np.maximum(types.weight, 1))) / FULL_BP if len(rows) else 0.0
    wanted = _NODES_FULL * largest / mean_cards if mean_cards else 0.0
    length = int(min(max(wanted, _LENGTH[0]), _LENGTH[1]))
    stream = _stratified(chance, STREAMS * length)
    groups = _groups(types, chance, weight, kinds)
    tables = Tables(
        STREAMS if mean_cards else 0, length, stream, types.kind, types.cpu, types.memory, types.devices,
        types.allowed, types.share_memory, types.share_compute, weight,
        groups.devices, groups.cpu, groups.memory, groups.allowed,
    )  # fmt: skip
    volume = float(chance @ types.volume) if len(rows) else 0.0
    return Demand(tables, chance, volume, groups.rate, groups.worth)


class _Types(NamedTuple):
    kind: I64
    cpu: I64
    memory: I64
    devices: I64
    allowed: Bools
    share_memory: I64
    share_compute: I64
    volume: I64
    """Weighted basis points, on the weakest model that is allowed."""
    weight: I64


def _types(rows: Weighted, models: tuple[str, ...], memory: tuple[int, ...], weight: I64) -> _Types:
    count, width = len(rows), max(len(models), 1)
    single = np.zeros((6, count), dtype=np.int64)
    allowed = np.zeros((count, width), dtype=np.bool_)
    share = np.zeros((2, count, width), dtype=np.int64)
    for t, (request, _) in enumerate(rows):
        kind = WHOLE if request.count else SHARE if request.share else CPU
        single[:4, t] = kind, request.cpu_milli, request.memory_mib, request.count
        if kind == CPU:
            continue
        names = set(match_models(request.accelerators, models))
        cards = []
        for m, name in enumerate(models):
            if name not in names:
                continue
            allowed[t, m] = True
            card = request.count * FULL_BP
            if request.share is not None:
                total = Share(memory[m], FULL_BP)
                part = request.share.on(total) or Share(0, 1)
                share[:, t, m] = part.memory_mib, part.compute_bp
                card = card_bp(part, total)
            cards.append((int(weight[m]), min(card, FULL_BP * max(request.count, 1))))
        if cards:
            light, card = min(cards)
            single[4:, t] = card * light, light
    return _Types(
        single[0], single[1], single[2], single[3], allowed, share[0], share[1], single[4], single[5]
    )


def _stratified(chance: F64, size: int) -> I64:
    """Return types in their proportions, in an order given by a hash."""
    if not len(chance):
        return np.zeros(size, dtype=np.int64)
    edges = np.floor(np.cumsum(chance) * size + 0.5).astype(np.int64)
    edges[-1] = size
    drawn = np.repeat(np.arange(len(chance)), np.diff(edges, prepend=0))
    shuffle = np.argsort(mixed(mixed(np.arange(1, size + 1, dtype=np.uint64))), kind="stable")
    return np.asarray(drawn[shuffle], dtype=np.int64)


class _GroupKey(NamedTuple):
    """What the request types of a group share."""

    devices: int
    holds: bytes
    """Kinds of nodes that can hold them."""
    allowed: bytes
    """Models that they allow."""


class _Groups(NamedTuple):
    devices: I64
    cpu: I64
    memory: I64
    allowed: Bools
    rate: tuple[float, ...]
    worth: tuple[int, ...]


def _groups(types: _Types, chance: F64, weight: I64, kinds: _Kinds) -> _Groups:
    """Return shapes hard to place, joined by device count and the kinds of nodes that can hold them at all.

    Hard are several devices at once, and whatever only part of the center's devices can serve.
    """
    size = (kinds.devices * weight[None, : kinds.devices.shape[1]]).sum(axis=1) * kinds.number
    members: dict[_GroupKey, list[int]] = {}
    holds = np.zeros((len(types.kind), len(kinds.number)), dtype=np.bool_)
    for t in np.flatnonzero(types.volume > 0).tolist():
        count, mine = max(int(types.devices[t]), 1), types.allowed[t]
        holds[t] = (kinds.devices * mine).max(axis=1) >= count
        holds[t] &= (kinds.cpu >= types.cpu[t]) & (kinds.memory >= types.memory[t])
        if holds[t].any() and (count >= 2 or size[holds[t]].sum() <= _SCARCE * size.sum()):
            members.setdefault(_GroupKey(count, holds[t].tobytes(), mine.tobytes()), []).append(t)
    volume = {key: float((chance[rows] * types.volume[rows]).sum()) for key, rows in members.items()}
    found = sorted(members, key=lambda key: (-volume[key], key))[:_GROUPS_MAX]
    table = np.zeros((3, len(found)), dtype=np.int64)
    allowed = np.zeros((len(found), types.allowed.shape[1]), dtype=np.bool_)
    rate, worth = [], []
    asked = chance * types.volume
    for g, key in enumerate(found):
        rows = members[key]
        cpu = np.average(types.cpu[rows], weights=chance[rows])
        memory = np.average(types.memory[rows], weights=chance[rows])
        table[:, g], allowed[g] = (key.devices, cpu, memory), types.allowed[rows[0]]
        slot = key.devices * FULL_BP * int(weight[allowed[g]].min())
        # the requests that compete for these slots: as large or larger, and without a device kind that this group lacks
        rivals = (types.devices >= table[0, g]) | (table[0, g] == 1)
        rivals &= ~(holds & ~holds[rows[0]]).any(axis=1) & holds.any(axis=1)
        rate.append(float(asked[rivals].sum()) / slot)
        worth.append(slot * STREAMS)
    return _Groups(table[0], table[1], table[2], allowed, tuple(rate), tuple(worth))
