"""The compiled kernel of `expected-fill`. `arrays` is its fallback in NumPy; tests hold both to the same results.

Only `FillKernel` imports this module, once that pays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pearlstreet.compute.scheduling.kernels import inner_jit, jit
from pearlstreet.compute.scheduling.model import I64, Bools
from pearlstreet.compute.scheduling.placement.fill.demand import Tables
from pearlstreet.compute.scheduling.placement.fill.state import I16, NEVER, STEP, FillRequest, Free, Notes

_FULL = 10_000


@inner_jit
def _free_of(memory: I64, compute: I64, model: I64, total: I64, usable: Bools, weight: I64) -> int:
    """Return weighted basis points that are free on a node's devices."""
    free = 0
    for d in range(len(model)):
        if usable[d]:
            part = memory[d] * _FULL // total[d] if total[d] > 0 else 0
            free += weight[model[d]] * max(part, compute[d])
    return free


@inner_jit
def _key(cpu: int, host: int, memory: I64, compute: I64, model: I64, total: I64, usable: Bools) -> Any:
    """Two hashes of a state, whatever order equal devices stand in."""
    golden, odd = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
    first = (np.uint64(cpu) * golden) ^ (np.uint64(host) * odd)
    first = (first ^ (first >> np.uint64(31))) * odd
    second = (first ^ (first >> np.uint64(29))) * golden
    for d in range(len(model)):
        if usable[d]:
            x = np.uint64(compute[d]) * golden + np.uint64(memory[d]) * odd + np.uint64(model[d] * 977 + 1)
            x += np.uint64(total[d]) * np.uint64(0x94D049BB133111EB)
            x = (x ^ (x >> np.uint64(30))) * odd
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            first += x ^ (x >> np.uint64(31))
            second += (x ^ (x >> np.uint64(28))) * golden
    return first, second


@inner_jit
def _mask(
    cpu: int,
    host: int,
    memory: I64,
    compute: I64,
    model: I64,
    total: I64,
    usable: Bools,
    tables: Tables,
    mask: Bools,
) -> bool:
    """Mark types that may fit at first, since free capacity only shrinks. Returns whether any takes a device."""
    only, idle, most_memory, most_compute = -1, 0, 0, 0
    for d in range(len(model)):
        if not usable[d]:
            continue
        if only == -1:
            only = model[d]
        elif only != model[d]:
            only = -2
        if memory[d] == total[d] and compute[d] == _FULL:
            idle += 1
        most_memory = max(most_memory, memory[d])
        most_compute = max(most_compute, compute[d])
    some = False
    for t in range(len(tables.kind)):
        may = tables.cpu[t] <= cpu and tables.memory[t] <= host
        if may and tables.kind[t] != 0:
            if only >= 0 and not tables.allowed[t, only]:
                may = False
            elif tables.kind[t] == 2:
                may = tables.devices[t] <= idle
            elif only >= 0:
                may = (
                    tables.share_memory[t, only] <= most_memory
                    and tables.share_compute[t, only] <= most_compute
                )
            some = some or may
        mask[t] = may
    return some


@inner_jit
def value(
    cpu: int,
    host: int,
    memory: I64,
    compute: I64,
    model: I64,
    total: I64,
    usable: Bools,
    tables: Tables,
    memo: I64,
) -> int:
    """Return weighted basis points of the node that all streams together fill."""
    start = _free_of(memory, compute, model, total, usable, tables.weight)
    if start == 0 or tables.streams == 0:
        return 0
    first, second = _key(cpu, host, memory, compute, model, total, usable)
    at = np.int64(first % np.uint64(len(memo)))
    if memo[at, 0] == np.int64(first) and memo[at, 1] == np.int64(second):
        known: int = memo[at, 2]
        return known
    filled = _simulated(cpu, host, memory, compute, model, total, usable, tables, start)
    memo[at, 0] = np.int64(first)
    memo[at, 1] = np.int64(second)
    memo[at, 2] = filled
    return filled


@inner_jit
def _simulated(
    cpu0: int,
    host0: int,
    memory0: I64,
    compute0: I64,
    model: I64,
    total: I64,
    usable: Bools,
    tables: Tables,
    start: int,
) -> int:
    mask = np.empty(len(tables.kind), dtype=np.bool_)
    if not _mask(cpu0, host0, memory0, compute0, model, total, usable, tables, mask):
        return 0
    width = len(model)
    memory, compute = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
    left = 0
    for k in range(tables.streams):
        cpu, host = cpu0, host0
        for d in range(width):
            memory[d] = memory0[d]
            compute[d] = compute0[d]
        for item in range(k * tables.length, (k + 1) * tables.length):
            t = tables.stream[item]
            if not mask[t] or tables.cpu[t] > cpu or tables.memory[t] > host:
                continue
            kind = tables.kind[t]
            if kind == 1:
                best = -1
                for d in range(width):
                    if not usable[d]:
                        continue
                    m = model[d]
                    if not tables.allowed[t, m] or tables.share_memory[t, m] > memory[d]:
                        continue
                    if tables.share_compute[t, m] > compute[d]:
                        continue
                    if (
                        best < 0
                        or compute[d] < compute[best]
                        or (
                            compute[d] == compute[best]
                            and (memory[d] < memory[best] or (memory[d] == memory[best] and m < model[best]))
                        )
                    ):
                        best = d
                if best < 0:
                    continue
                memory[best] -= tables.share_memory[t, model[best]]
                compute[best] -= tables.share_compute[t, model[best]]
            elif kind == 2:
                chosen = _whole_model(
                    memory, compute, model, total, usable, tables.allowed[t], tables.devices[t]
                )
                if chosen < 0:
                    continue
                wanted = tables.devices[t]
                for d in range(width):
                    mine = wanted > 0 and usable[d] and model[d] == chosen
                    if mine and memory[d] == total[d] and compute[d] == _FULL:
                        memory[d] = 0
                        compute[d] = 0
                        wanted -= 1
            cpu -= tables.cpu[t]
            host -= tables.memory[t]
        left += _free_of(memory, compute, model, total, usable, tables.weight)
    return tables.streams * start - left


@inner_jit
def _whole_model(
    memory: I64, compute: I64, model: I64, total: I64, usable: Bools, allowed: Bools, count: int
) -> int:
    """Return the lowest model of which `count` whole devices are free; -1: none."""
    best = -1
    for d in range(len(model)):
        m = model[d]
        if not usable[d] or not allowed[m] or (best >= 0 and m >= best):
            continue
        first = True
        for e in range(d):
            if usable[e] and model[e] == m:
                first = False
                break
        if not first:
            continue
        idle = 0
        for e in range(d, len(model)):
            if usable[e] and model[e] == m and memory[e] == total[e] and compute[e] == _FULL:
                idle += 1
        if idle >= count:
            best = m
    return best


@inner_jit
def slots(
    cpu: int,
    host: int,
    memory: I64,
    compute: I64,
    model: I64,
    total: I64,
    usable: Bools,
    tables: Tables,
    out: I16,
) -> None:
    """How many tasks of each large shape the node could take."""
    for g in range(len(tables.group_count)):
        idle = 0
        for d in range(len(model)):
            if (
                usable[d]
                and tables.group_allowed[g, model[d]]
                and memory[d] == total[d]
                and compute[d] == _FULL
            ):
                idle += 1
        number = idle // tables.group_count[g]
        if tables.group_cpu[g] > 0:
            number = min(number, cpu // tables.group_cpu[g])
        if tables.group_memory[g] > 0:
            number = min(number, host // tables.group_memory[g])
        out[g] = number


@jit
def note(rows: I64, free: Free, tables: Tables, memo: I64, notes: Notes) -> None:
    """Update value, free capacity and slots of `rows`."""
    for i in range(len(rows)):
        n = rows[i]
        memory, compute, model = free.device_memory[n], free.device_compute[n], free.model[n]
        total, usable = free.device_total[n], free.usable[n]
        notes.version[n] += 1
        notes.capacity[n] = _free_of(memory, compute, model, total, usable, tables.weight)
        notes.value[n] = value(
            free.cpu[n], free.memory[n], memory, compute, model, total, usable, tables, memo
        )
        slots(free.cpu[n], free.memory[n], memory, compute, model, total, usable, tables, notes.slots[n])


@inner_jit
def _copy(source: I64, target: I64) -> None:
    """Copy element by element: assigning a whole array also compiles its error message, which takes seconds."""
    for d in range(len(source)):
        target[d] = source[d]


@inner_jit
def _holds(n: int, d: int, j: int, view: Free, ask: FillRequest) -> bool:
    """Return whether the share fits on a device."""
    if not view.usable[n, d] or view.model[n, d] != ask.models[j]:
        return False
    enough: bool = view.device_memory[n, d] >= ask.share_memory[j]
    return enough and view.device_compute[n, d] >= ask.share_compute[j]


@inner_jit
def _consider(
    n: int, free: Free, view: Free, tables: Tables, memo: I64, notes: Notes, ask: FillRequest
) -> None:
    """Work out the loss of the request on one node, with its best model and device."""
    ask.stamp[n] = notes.version[n]
    ask.loss[n] = NEVER
    if not free.schedulable[n] or view.cpu[n] < ask.cpu or view.memory[n] < ask.memory:
        return
    width = free.model.shape[1]
    total, usable, model = free.device_total[n], free.usable[n], free.model[n]
    memory, compute = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
    _copy(free.device_memory[n], memory)
    _copy(free.device_compute[n], compute)
    cpu, host = free.cpu[n] - ask.cpu, free.memory[n] - ask.memory
    kept_memory, kept_compute = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
    _copy(memory, kept_memory)
    _copy(compute, kept_compute)
    best_memory, best_compute = 0, 0
    for j in range(len(ask.models)):
        m = ask.models[j]
        if m < 0:
            ask.loss[n] = notes.value[n] - value(
                cpu, host, memory, compute, model, total, usable, tables, memo
            )
            ask.device[n] = -1
            ask.which[n] = j
        elif ask.devices > 0:
            wanted = ask.devices
            for d in range(width):
                mine = wanted > 0 and usable[d] and model[d] == m
                if mine and view.device_memory[n, d] == total[d] and view.device_compute[n, d] == _FULL:
                    memory[d] = 0
                    compute[d] = 0
                    wanted -= 1
            if wanted == 0:
                loss = notes.value[n] - value(cpu, host, memory, compute, model, total, usable, tables, memo)
                if loss < ask.loss[n]:
                    ask.loss[n] = loss
                    ask.device[n] = -1
                    ask.which[n] = j
                    _copy(memory, kept_memory)
                    _copy(compute, kept_compute)
            _copy(free.device_memory[n], memory)
            _copy(free.device_compute[n], compute)
        else:
            for d in range(width):
                if not _holds(n, d, j, view, ask):
                    continue
                seen = False
                for e in range(d):
                    if memory[e] == memory[d] and compute[e] == compute[d] and _holds(n, e, j, view, ask):
                        seen = True
                        break
                if seen:
                    continue
                was_memory, was_compute = memory[d], compute[d]
                memory[d] -= ask.share_memory[j]
                compute[d] -= ask.share_compute[j]
                loss = notes.value[n] - value(cpu, host, memory, compute, model, total, usable, tables, memo)
                tighter = ask.which[n] == j and (
                    was_compute < best_compute or (was_compute == best_compute and was_memory < best_memory)
                )
                if loss < ask.loss[n] or (loss == ask.loss[n] and tighter):
                    ask.loss[n] = loss
                    ask.device[n] = d
                    ask.which[n] = j
                    best_compute, best_memory = was_compute, was_memory
                    _copy(memory, kept_memory)
                    _copy(compute, kept_compute)
                memory[d], compute[d] = was_memory, was_compute
    if ask.loss[n] == NEVER:
        return
    after = ask.spent[n]
    slots(cpu, host, kept_memory, kept_compute, model, total, usable, tables, after)
    for g in range(len(after)):
        after[g] = notes.slots[n, g] - after[g]
    ask.second[n] = _second(n, cpu, free, kept_memory, kept_compute, ask.device[n], ask.models[0] < 0)


@inner_jit
def _second(n: int, cpu: int, free: Free, memory: I64, compute: I64, device: int, bare: bool) -> int:
    """Packing, where nothing else decides: no whole device opened for a part, few whole ones left, few cores left."""
    idle, devices = 0, 0
    for d in range(len(memory)):
        if free.model[n, d] >= 0:
            devices += 1
        if free.usable[n, d] and memory[d] == free.device_total[n, d] and compute[d] == _FULL:
            idle += 1
    opened = 1 if bare and devices > 0 else 0
    whole = device >= 0 and free.device_memory[n, device] == free.device_total[n, device]
    if whole and free.device_compute[n, device] == _FULL:
        opened = 1
    cores = cpu * 63 // free.cpu_total[n] if free.cpu_total[n] > 0 else 0
    return (opened * 64 + min(idle, 63)) * 64 + min(max(cores, 0), 63)


@inner_jit
def _total(n: int, ask: FillRequest, price: I64) -> int:
    cost = 0
    for g in range(len(price)):
        cost = max(cost, ask.spent[n, g] * price[g])
    cost += int(ask.loss[n])
    return cost * STEP + int(ask.second[n])


@jit
def search(
    rows: I64,
    every: bool,
    free: Free,
    view: Free,
    tables: Tables,
    memo: I64,
    notes: Notes,
    ask: FillRequest,
    price: I64,
) -> int:
    """Return how many of the nodes `rows` have the lowest total, listed in `ask.equal`.

    Unless `every` entry is to be renewed, stale nodes that cannot win are left stale: the value of a node cannot exceed its free
    capacity after the task, which bounds the loss from below without simulation.
    """
    found, least = 0, NEVER
    for i in range(len(rows)):
        n = rows[i]
        if ask.stamp[n] == notes.version[n] and ask.loss[n] != NEVER:
            total = _total(n, ask, price)
            if total < least:
                found, least = 0, total
            if total == least:
                ask.equal[found] = n
                found += 1
    for i in range(len(rows)):
        n = rows[i]
        if ask.stamp[n] == notes.version[n]:
            continue
        bound = (notes.value[n] - tables.streams * (notes.capacity[n] - ask.volume)) * STEP
        if bound > least and not every:
            continue
        _consider(n, free, view, tables, memo, notes, ask)
        if ask.loss[n] != NEVER:
            total = _total(n, ask, price)
            if total < least:
                found, least = 0, total
            if total == least:
                ask.equal[found] = n
                found += 1
    return found
