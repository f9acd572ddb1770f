"""The kernel of `expected-fill` in NumPy, for Pythons without numba and for little work: slower, with bit-identical results."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.model import I64, Bools
from pearlstreet.compute.scheduling.placement.fill.demand import CPU, SHARE, Tables
from pearlstreet.compute.scheduling.placement.fill.state import NEVER, STEP, Asked, FillRequest, Free, Notes

_BATCH = 2048
"""Number of states simulated at once."""
_FAR = 1 << 40
KNOWN_MAX = 1 << 14
Known = dict[bytes, int]
"""Cache of values of states."""


class States(NamedTuple):
    """S possible states of nodes, with arrays of shapes [S] and [S, D]."""

    cpu: I64
    host: I64
    memory: I64
    compute: I64
    model: I64
    total: I64
    usable: Bools

    def at(self, rows: I64 | slice) -> States:
        """Return some of the states."""
        return States(
            self.cpu[rows], self.host[rows], self.memory[rows], self.compute[rows],
            self.model[rows], self.total[rows], self.usable[rows],
        )  # fmt: skip


def states_of(free: Free, rows: I64) -> States:
    """Return the nodes of `rows` as they stand."""
    return States(
        free.cpu[rows], free.memory[rows], free.device_memory[rows], free.device_compute[rows],
        free.model[rows], free.device_total[rows], free.usable[rows],
    )  # fmt: skip


def free_of(s: States, weight: I64) -> I64:
    """Return weighted basis points that are free on each node's devices."""
    part = np.where(s.total > 0, s.memory * FULL_BP // np.maximum(s.total, 1), 0)
    return np.asarray((np.where(s.usable, weight[s.model] * np.maximum(part, s.compute), 0)).sum(axis=1))


def value(s: States, tables: Tables, known: Known) -> I64:
    """Return weighted basis points of each node that all streams together fill. `known`: of states met before."""
    found = np.zeros(len(s.cpu), dtype=np.int64)
    if tables.streams == 0 or not s.model.shape[1]:
        return found
    some = np.flatnonzero(free_of(s, tables.weight))
    if not len(some):
        return found
    part = s.at(some)
    columns = [
        part.cpu[:, None],
        part.host[:, None],
        part.memory,
        part.compute,
        part.model,
        part.total,
        part.usable,
    ]
    keys = [row.tobytes() for row in np.concatenate(columns, axis=1, dtype=np.int64)]
    new = {key: at for at, key in enumerate(keys) if key not in known}
    if new:
        if len(known) > KNOWN_MAX:
            known.clear()
            new = {key: at for at, key in enumerate(keys)}
        rows = np.fromiter(new.values(), dtype=np.int64, count=len(new))
        for at in range(0, len(rows), _BATCH):
            played = _played(part.at(rows[at : at + _BATCH]), tables).tolist()
            known.update(zip(list(new)[at : at + _BATCH], played, strict=True))
    found[some] = [known[key] for key in keys]
    return found


def _played(s: States, tables: Tables) -> I64:
    """Return all streams on all states at once, item by item."""
    count, width, k = len(s.cpu), s.model.shape[1], tables.streams
    shape = (count, k, width)
    cpu, host = np.repeat(s.cpu[:, None], k, axis=1), np.repeat(s.host[:, None], k, axis=1)
    memory, compute = (
        np.broadcast_to(s.memory[:, None], shape).copy(),
        np.broadcast_to(s.compute[:, None], shape).copy(),
    )
    model, usable = np.broadcast_to(s.model[:, None], shape), np.broadcast_to(s.usable[:, None], shape)
    total = np.broadcast_to(s.total[:, None], shape)
    stream = tables.stream.reshape(k, tables.length)
    for item in range(tables.length):
        t = stream[:, item]
        kind = tables.kind[t][None, :]
        go = (tables.cpu[t] <= cpu) & (tables.memory[t] <= host)
        if not go.any():
            continue
        allowed = usable & tables.allowed[t[None, :, None], model]
        share = (kind == SHARE) & go
        if share.any():
            takes_memory = tables.share_memory[t[None, :, None], model]
            takes_compute = tables.share_compute[t[None, :, None], model]
            able = allowed & (takes_memory <= memory) & (takes_compute <= compute)
            # the tightest: least compute, then memory, then the lowest model
            best_compute = np.where(able, compute, _FAR)
            able &= best_compute == best_compute.min(axis=2, keepdims=True)
            best_memory = np.where(able, memory, _FAR)
            able &= best_memory == best_memory.min(axis=2, keepdims=True)
            best = np.where(able, model, _FAR).argmin(axis=2)[:, :, None]
            found = np.take_along_axis(able, best, axis=2)[:, :, 0]
            share &= found
            chosen = share[:, :, None] & (np.arange(width) == best)
            memory -= np.where(chosen, takes_memory, 0)
            compute -= np.where(chosen, takes_compute, 0)
        whole = (kind > SHARE) & go
        if whole.any():
            idle = allowed & (memory == total) & (compute == FULL_BP)
            wanted = tables.devices[t][None, :]
            best_model = np.full((count, k), _FAR)
            for m in range(len(tables.weight) - 1, -1, -1):
                best_model = np.where((idle & (model == m)).sum(axis=2) >= wanted, m, best_model)
            whole &= best_model < _FAR
            mine = idle & (model == best_model[:, :, None]) & whole[:, :, None]
            mine &= np.cumsum(mine, axis=2) <= wanted[:, :, None]
            memory[mine] = 0
            compute[mine] = 0
        done = share | whole | ((kind == CPU) & go)
        cpu -= np.where(done, tables.cpu[t], 0)
        host -= np.where(done, tables.memory[t], 0)
    flat = States(
        cpu, host, memory.reshape(-1, width), compute.reshape(-1, width), model.reshape(-1, width),
        total.reshape(-1, width), usable.reshape(-1, width),
    )  # fmt: skip
    left = free_of(flat, tables.weight).reshape(count, k).sum(axis=1)
    return np.asarray(k * free_of(s, tables.weight) - left)


def slots(s: States, tables: Tables) -> I64:
    """Return [S, G] tasks of each large shape that each node could take."""
    idle = s.usable & (s.memory == s.total) & (s.compute == FULL_BP)
    fitting = tables.group_allowed.T[s.model] & idle[:, :, None]
    number = fitting.sum(axis=1) // np.maximum(tables.group_count, 1)
    for limit, need in ((s.cpu, tables.group_cpu), (s.host, tables.group_memory)):
        number = np.where(need > 0, np.minimum(number, limit[:, None] // np.maximum(need, 1)), number)
    return np.asarray(number)


def note(rows: I64, free: Free, tables: Tables, known: Known, notes: Notes) -> None:
    """Update value, free capacity and slots of `rows`."""
    s = states_of(free, rows)
    notes.version[rows] += 1
    notes.capacity[rows] = free_of(s, tables.weight)
    notes.value[rows] = value(s, tables, known)
    notes.slots[rows] = slots(s, tables)


class Choices(NamedTuple):
    """Ways to place the request: the node (in `rows`), the need, and how tight the device was; then the state after."""

    row: I64
    which: I64
    device: I64
    compute: I64
    memory: I64
    after: States


class _Ways(NamedTuple):
    """Ways to place the request on one model, and for a share on one device position: one a row."""

    rows: I64
    """[n] positions among the rows asked about"""
    which: int
    """Position of the model in the request."""
    device: I64
    """[n] device of a share; -1: whole devices or none"""
    compute: I64
    """[n] free compute of that device before"""
    memory: I64
    """[n] free memory of that device before"""
    left_memory: I64
    """[n, D] free memory of each device afterwards"""
    left_compute: I64
    """[n, D] free compute of each device afterwards"""


def choices(rows: I64, free: Free, view: Free, ask: Asked) -> Choices:
    """Return every way to place the request on each of `rows`: every model, and for a share every device."""
    s = states_of(free, rows)
    cpu, host = s.cpu - ask.cpu, s.host - ask.memory
    may = free.schedulable[rows] & (view.cpu[rows] >= ask.cpu) & (view.memory[rows] >= ask.memory)
    seen_memory, seen_compute = view.device_memory[rows], view.device_compute[rows]
    found: list[_Ways] = []
    zero = np.zeros(len(rows), dtype=np.int64)
    for j, m in enumerate(ask.models.tolist()):
        mine = s.usable & (s.model == m)
        if m < 0:
            able = np.flatnonzero(may)
            found.append(
                _Ways(able, j, zero[able] - 1, zero[able], zero[able], s.memory[able], s.compute[able])
            )
        elif ask.devices > 0:
            idle = mine & (seen_memory == s.total) & (seen_compute == FULL_BP)
            able = np.flatnonzero(may & (idle.sum(axis=1) >= ask.devices))
            taken = idle[able] & (np.cumsum(idle[able], axis=1) <= ask.devices)
            memory, compute = np.where(taken, 0, s.memory[able]), np.where(taken, 0, s.compute[able])
            found.append(_Ways(able, j, zero[able] - 1, zero[able], zero[able], memory, compute))
        else:
            fits = (
                mine
                & (seen_memory >= ask.share_memory[j])
                & (seen_compute >= ask.share_compute[j])
                & may[:, None]
            )
            for d in range(s.model.shape[1]):
                able = np.flatnonzero(fits[:, d])
                memory, compute = s.memory[able].copy(), s.compute[able].copy()
                tight = compute[:, d].copy(), memory[:, d].copy()
                memory[:, d] -= ask.share_memory[j]
                compute[:, d] -= ask.share_compute[j]
                found.append(_Ways(able, j, zero[able] + d, *tight, memory, compute))
    at = np.concatenate([ways.rows for ways in found])
    left_memory = np.concatenate([ways.left_memory for ways in found])
    left_compute = np.concatenate([ways.left_compute for ways in found])
    after = States(cpu[at], host[at], left_memory, left_compute, s.model[at], s.total[at], s.usable[at])
    which = np.concatenate([np.full(len(ways.rows), ways.which) for ways in found])
    device = np.concatenate([ways.device for ways in found])
    compute = np.concatenate([ways.compute for ways in found])
    memory = np.concatenate([ways.memory for ways in found])
    return Choices(at, which, device, compute, memory, after)


def _renew(
    rows: I64, free: Free, view: Free, tables: Tables, known: Known, notes: Notes, ask: FillRequest
) -> None:
    """Bring the request's entries of `rows` up to date."""
    rows = rows[ask.stamp[rows] != notes.version[rows]]
    if not len(rows):
        return
    ask.stamp[rows] = notes.version[rows]
    ask.loss[rows] = NEVER
    ways = choices(rows, free, view, ask)
    if not len(ways.row):
        return
    loss = notes.value[rows[ways.row]] - value(ways.after, tables, known)
    order = np.lexsort((ways.device, ways.memory, ways.compute, ways.which, loss, ways.row))
    best = order[np.r_[True, ways.row[order][1:] != ways.row[order][:-1]]]
    node, after = rows[ways.row[best]], ways.after.at(best)
    ask.loss[node], ask.device[node], ask.which[node] = loss[best], ways.device[best], ways.which[best]
    ask.spent[node] = notes.slots[node] - slots(after, tables)
    ask.second[node] = _second(node, free, after, ways.device[best], bool(ask.models[0] < 0))


def _second(node: I64, free: Free, after: States, device: I64, bare: bool) -> I64:
    """Return the packing score, which decides between equal losses."""
    idle = (after.usable & (after.memory == after.total) & (after.compute == FULL_BP)).sum(axis=1)
    if bare:
        opened = np.asarray((after.model >= 0).any(axis=1))
    else:
        d = np.maximum(device, 0)
        whole = free.device_memory[node, d] == free.device_total[node, d]
        opened = np.asarray(whole & (free.device_compute[node, d] == FULL_BP) & (device >= 0))
    total = free.cpu_total[node]
    cores = np.where(total > 0, after.cpu * 63 // np.maximum(total, 1), 0)
    return np.asarray((opened * 64 + np.minimum(idle, 63)) * 64 + np.clip(cores, 0, 63))


def totals(rows: I64, ask: FillRequest, price: I64) -> I64:
    """Return what each node costs in all; NEVER where the request does not fit."""
    bid = (ask.spent[rows] * price).max(axis=1, initial=0)
    cost = (ask.loss[rows] + bid) * STEP + ask.second[rows]
    return np.asarray(np.where(ask.loss[rows] == NEVER, NEVER, cost))


def search(
    rows: I64,
    every: bool,
    free: Free,
    view: Free,
    tables: Tables,
    known: Known,
    notes: Notes,
    ask: FillRequest,
    price: I64,
) -> int:
    """Return how many of the nodes `rows` have the lowest total, listed in `ask.equal`; all entries are renewed."""
    _renew(rows, free, view, tables, known, notes, ask)
    total = totals(rows, ask, price)
    if not len(total) or total.min() == NEVER:
        return 0
    least = rows[total == total.min()]
    ask.equal[: len(least)] = least
    return len(least)
