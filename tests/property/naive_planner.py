"""A planner that is obviously right: plain dictionaries, one job and one node at a time, nothing remembered.

It knows priority order, skip-over ("greedy") backfill and the packing policy, and is the yardstick both for the real
planner's answers and for its speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pearlstreet.compute.pool.slices import FULL_BP, Share
from pearlstreet.compute.scheduling.rows import NodeRow, Request, RunningAttempt, WaitingJob, match_models


@dataclass
class Device:
    index: int
    model: str
    total: int
    link: int
    ok: bool
    memory: int = 0
    compute: int = FULL_BP

    def whole(self) -> bool:
        return self.ok and self.memory == self.total and self.compute == FULL_BP


@dataclass
class Node:
    name: str
    cpu_total: int
    cpu: int
    memory_total: int
    memory: int
    rack: tuple[str, str] | None
    pod: str | None
    up: bool
    devices: list[Device] = field(default_factory=list)


def make_nodes(rows: list[NodeRow], running: list[RunningAttempt]) -> dict[str, Node]:
    nodes = {}
    for row in rows:
        devices = [
            Device(d.index, d.model, d.memory_mib, d.link_group, d.healthy and row.schedulable, d.memory_mib)
            for d in row.devices
        ]
        rack = (row.pod, row.rack) if row.rack else None
        nodes[row.name] = Node(
            row.name, row.cpu_milli, row.cpu_milli, row.memory_mib, row.memory_mib, rack, row.pod or None,
            row.schedulable, devices,
        )  # fmt: skip
    for attempt in running:
        for task in attempt.tasks:
            node = nodes[task.node]
            node.cpu -= task.cpu_milli
            node.memory -= task.memory_mib
            for use in task.devices:
                device = next(d for d in node.devices if d.index == use.index)
                device.memory -= device.total if use.memory_mib is None else use.memory_mib
                device.compute -= FULL_BP if use.compute_bp is None else use.compute_bp
    return nodes


def share_on(request: Request, total: int) -> Share:
    assert request.share is not None
    return request.share.on(Share(total, FULL_BP)) or Share(0, 1)


def device_times(device: Device, request: Request, model: str) -> int:
    """How often the request's share fits on the device."""
    if not device.ok or device.model != model:
        return 0
    share, times = share_on(request, device.total), 0
    while (times + 1) * share.memory_mib <= device.memory and (
        times + 1
    ) * share.compute_bp <= device.compute:
        times += 1
    return times


def times(node: Node, request: Request, model: str, most: int) -> int:
    """How many tasks of the request the node can take, counted up to `most`."""
    if not node.up:
        return 0
    count = 0
    while count < most:
        n = count + 1
        if n * request.cpu_milli > node.cpu or n * request.memory_mib > node.memory:
            break
        if request.count and sum(d.whole() and d.model == model for d in node.devices) < n * request.count:
            break
        if request.share and sum(device_times(d, request, model) for d in node.devices) < n:
            break
        count = n
    return count


def score(node: Node, request: Request, model: str) -> float:
    """The packing policy, in the plainest form."""
    cores = node.cpu / max(node.cpu_total, 1)
    whole = sum(d.whole() for d in node.devices)
    if not model:
        return (1e3 * (1 + whole) if node.devices else 0.0) + cores
    if request.count:
        return whole * 1e3 + cores
    cut = [d for d in node.devices if d.compute < FULL_BP and device_times(d, request, model)]
    opening = min(d.compute for d in cut) / FULL_BP if cut else 1e6
    return opening * 1e3 + whole + cores


def take(node: Node, request: Request, model: str) -> list[int]:
    """Give one task its part of the node; returns device indices."""
    node.cpu -= request.cpu_milli
    node.memory -= request.memory_mib
    if request.share:
        able = [d for d in node.devices if device_times(d, request, model)]
        best = min(able, key=lambda d: (d.compute, d.memory))
        share = share_on(request, best.total)
        best.memory -= share.memory_mib
        best.compute -= share.compute_bp
        return [best.index]
    if not request.count:
        return []
    free = [d for d in node.devices if d.whole() and d.model == model]
    groups: dict[int, list[Device]] = {}
    for device in free:
        groups.setdefault(device.link, []).append(device)
    place = node.devices.index
    enough = [g for g in groups.values() if len(g) >= request.count]
    if enough:
        chosen = min(enough, key=lambda g: (len(g), place(g[0])))[: request.count]
    else:
        by_size = sorted(groups.values(), key=lambda g: (-len(g), place(g[0])))
        chosen = [device for group in by_size for device in group][: request.count]
    for device in chosen:
        device.memory = device.compute = 0
    return [device.index for device in chosen]


def gang_nodes(nodes: list[Node], request: Request, model: str, tasks: int) -> list[tuple[Node, int]]:
    """Nodes for all tasks: one node, else one rack, else one POD, else anywhere; the fewest nodes."""
    fit = {n.name: times(n, request, model, tasks) for n in nodes}
    if sum(fit.values()) < tasks:
        return []
    alone = [n for n in nodes if fit[n.name] >= tasks]
    if alone:
        return [(min(alone, key=lambda n: score(n, request, model)), tasks)]
    inside = [n for n in nodes if fit[n.name]]
    for level in ("rack", "pod"):
        sums: dict[object, int] = {}
        for n in inside:
            if getattr(n, level) is not None:
                sums[getattr(n, level)] = sums.get(getattr(n, level), 0) + fit[n.name]
        enough = [group for group in sums if sums[group] >= tasks]
        if enough:
            best = min(enough, key=lambda group: sums[group])
            inside = [n for n in inside if getattr(n, level) == best]
            break
    picks, left = [], tasks
    for node in sorted(inside, key=lambda n: (-fit[n.name], score(n, request, model))):
        if fit[node.name] <= left:
            picks.append((node, fit[node.name]))
            left -= fit[node.name]
        else:
            break
    if left:
        able = [n for n in inside if n not in [p for p, _ in picks] and fit[n.name] >= left]
        picks.append((min(able, key=lambda n: score(n, request, model)), left))
    return picks


def naive_plan(
    nodes: dict[str, Node], names: list[str], jobs: list[WaitingJob], pflops: dict[str, float]
) -> dict[str, list[tuple[str, list[int]]]]:
    """Job id → (node, devices) of each task. `names` is the order in which equal nodes are preferred."""
    ordered = [nodes[name] for name in names]
    plan: dict[str, list[tuple[str, list[int]]]] = {}
    models = sorted({d.model for n in ordered for d in n.devices})
    for job in sorted(jobs, key=lambda j: (-j.priority, j.submitted_us, j.array, j.element, j.id)):
        request = job.request
        allowed = match_models(request.accelerators, models) if request.wants_device else ("",)
        for model in sorted(allowed, key=lambda m: (pflops.get(m, 0), m)):
            picks = gang_nodes(ordered, request, model, job.tasks)
            if picks:
                plan[job.id] = [
                    (node.name, take(node, request, model)) for node, count in picks for _ in range(count)
                ]
                break
    return plan
