"""Builds the reasons for jobs that wait: machine-readable code, constraint by constraint, and sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.pool.slices import MIB_PER_GIB
from pearlstreet.compute.scheduling.capacity import ALL, PLENTY, FreeCapacity, Need
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.plan import Code, Detail, Reason, StartEstimate
from pearlstreet.compute.scheduling.quota import Binding, quota_text
from pearlstreet.compute.scheduling.rows import NO_DOMAIN, Request, match_models


def asked(request: Request) -> Text:
    """Return what one task needs, in words."""
    what = " | ".join(request.accelerators) or "any"
    if request.count:
        return text("{count} × {what}", count=request.count, what=what)
    if request.share is not None:
        return text(
            "{gib:g} GiB and {percent:g} % of one {what}",
            gib=request.share.memory_mib / MIB_PER_GIB,
            percent=request.share.compute_bp / 100,
            what=what,
        )
    return plural(
        "{count:g} core and {gib:g} GiB",
        "{count:g} cores and {gib:g} GiB",
        count=request.cpu_milli / 1000,
        gib=request.memory_mib / MIB_PER_GIB,
    )


def _best_node(snapshot: Snapshot, capacity: FreeCapacity, amounts: I64) -> tuple[int, str]:
    """Return the largest amount on one node and that node's name."""
    if not len(amounts) or int(amounts.max()) <= 0:
        return 0, "-"
    largest = np.flatnonzero(amounts == amounts.max())
    best = int(largest[np.argmin(capacity.tie[largest])])
    return int(amounts[best]), snapshot.nodes.names[best]


def details(
    snapshot: Snapshot, capacity: FreeCapacity, request: Request, needs: Sequence[Need], tasks: int
) -> tuple[Detail, ...]:
    """Return every constraint that `capacity` does not meet, with the nearest there is; the most telling first."""
    found: list[Detail] = []
    if not needs:
        return (_no_domain(snapshot, request) or _no_model(snapshot, request),)
    if request.domains and snapshot.domains:
        capacity = _in_domains(snapshot, capacity, request)
    if request.wants_device:
        device = _device_detail(snapshot, capacity, request, needs)
        if device is not None:
            return (device,)
    found += _host_details(snapshot, capacity, request, needs)
    if not found and tasks > 1:
        fit = max(int(np.minimum(capacity.fit(need, ALL, False), tasks).sum()) for need in needs)
        found.append(
            Detail(
                "tasks",
                tasks,
                fit,
                plural(
                    "{tasks} tasks must start together, {count} of them fits",
                    "{tasks} tasks must start together, {count} of them fit",
                    tasks=tasks,
                    count=fit,
                ),
            )
        )
    return tuple(found)


def _in_domains(snapshot: Snapshot, capacity: FreeCapacity, request: Request) -> FreeCapacity:
    """Return the capacity of the domains that a request names."""
    named = np.array([name in request.domains for name in snapshot.domains], dtype=np.bool_)
    inside = named[snapshot.nodes.domain]
    return capacity.seen(capacity.usable & inside[:, None], capacity.schedulable & inside)


def _no_domain(snapshot: Snapshot, request: Request) -> Detail | None:
    """Return why no domain suits a request that names some; None if the request names none, or its model is nowhere."""
    if not request.domains:
        return None
    everywhere = request.wants_device and bool(match_models(request.accelerators, snapshot.models))
    if request.wants_device and not everywhere:
        return None
    if request.domains == (NO_DOMAIN,):
        message = text("its queue uses none of the engines that can run it")
        return Detail("engine", 1, 0, message)
    engines = ", ".join(request.domains)
    message = (
        text(
            "it runs on engines {engines} only, which have no accelerator named {what}",
            engines=engines,
            what=" | ".join(request.accelerators) or "any",
        )
        if everywhere
        else text("it runs on engines {engines} only, which have no node", engines=engines)
    )
    return Detail("engine", 1, 0, message)


def _no_model(snapshot: Snapshot, request: Request) -> Detail:
    return Detail(
        "model",
        1,
        0,
        text(
            "the center has no accelerator named {what}, only {models}",
            what=" | ".join(request.accelerators) or "any",
            models=", ".join(snapshot.models) or "CPUs",
        ),
    )


def _device_detail(
    snapshot: Snapshot, capacity: FreeCapacity, request: Request, needs: Sequence[Need]
) -> Detail | None:
    """Return the device constraint, when no node meets it."""
    if request.count:
        counts = [capacity.whole(need.model, ALL, False).sum(axis=1) for need in needs]
        largest, node = max((_best_node(snapshot, capacity, c) for c in counts), key=lambda found: found[0])
        if largest >= request.count:
            return None
        message = (
            text(
                "{asked} on one node; the most is {largest}, on {node}",
                asked=asked(request),
                largest=largest,
                node=node,
            )
            if largest
            else text("{asked} on one node; none is free", asked=asked(request))
        )
        return Detail("devices", request.count, largest, message)
    if any(int(capacity.copies(need, ALL, False).sum()) for need in needs):
        return None
    usable = capacity.usable & np.isin(capacity.model, [need.model for need in needs])
    memory = int(np.where(usable, capacity.device_memory, 0).max(initial=0))
    compute = int(np.where(usable, capacity.device_compute, 0).max(initial=0))
    message = text(
        "{asked}; single devices have up to {gib:g} GiB and up to {percent:g} %",
        asked=asked(request),
        gib=memory / MIB_PER_GIB,
        percent=compute / 100,
    )
    return Detail("share", needs[0].share_memory, min(memory, PLENTY), message)


def _host_details(
    snapshot: Snapshot, capacity: FreeCapacity, request: Request, needs: Sequence[Need]
) -> list[Detail]:
    """Return CPU and memory, on nodes that have the devices."""
    with_devices = np.zeros(capacity.count, dtype=np.bool_)
    for need in needs:
        bare = Need(
            need.key, 0, 0, need.model, need.count, need.share_memory, need.share_compute, 0, 0, need.domain
        )
        with_devices |= capacity.fit(bare, ALL, False) > 0
    found = []
    if any(int(capacity.fit(need, ALL, False).max(initial=0)) for need in needs):
        return []
    for name, needed, free, unit in (
        ("cpu", request.cpu_milli, capacity.cpu, 1000),
        ("memory", request.memory_mib, capacity.memory, MIB_PER_GIB),
    ):
        largest, node = _best_node(snapshot, capacity, np.where(with_devices, free, 0))
        if largest < needed:
            message = (
                plural(
                    "{count:g} core on one node; the most is {largest:g}, on {node}",
                    "{count:g} cores on one node; the most is {largest:g}, on {node}",
                    count=needed / unit,
                    largest=largest / unit,
                    node=node,
                )
                if name == "cpu"
                else text(
                    "{needed:g} GiB of memory on one node; the most is {largest:g}, on {node}",
                    needed=needed / unit,
                    largest=largest / unit,
                    node=node,
                )
            )
            found.append(Detail(name, needed / unit, largest / unit, message))
    if not found:
        message = text("{asked} together on one node; no node has all of it", asked=asked(request))
        found.append(Detail("node", 1, 0, message))
    return found


def impossible(found: tuple[Detail, ...]) -> Reason:
    """Return the center could not run it even when empty."""
    return Reason(
        Code.IMPOSSIBLE,
        text("No part of this center can ever run it: {detail}", detail=found[0].message),
        text("Ask for less, or wait until such hardware is added"),
        found,
    )


def no_capacity(found: tuple[Detail, ...], start: StartEstimate | None) -> Reason:
    """Return what it needs is in use."""
    detail: Text = found[0].message if found else text("what it needs is in use")
    unblock = {
        "tasks": text("It starts once all its tasks fit at the same time"),
        "devices": text("It starts once that many devices are free on one node"),
        "share": text("It starts once a device has this much free"),
    }.get(found[0].constraint if found else "", text("It starts once enough is free on one node"))
    return Reason(Code.CAPACITY, text("Not enough is free: {detail}", detail=detail), unblock, found, start)


def quota(binding: Binding | None) -> Reason:
    """Reason: a limit of its account stops it."""
    if binding is None:
        message = text("A limit of its account is used up")
        return Reason(Code.QUOTA, message, text("It starts once other jobs of the account end"))
    message = quota_text(binding)
    unblock = (
        text("It starts once other jobs of the account end, or the limit is raised")
        if binding.needed <= binding.limit
        else text("The limit must be raised, or the job must ask for less")
    )
    return Reason(
        Code.QUOTA,
        message,
        unblock,
        (Detail("quota", binding.needed, binding.limit - binding.used, message),),
    )


def builds_limit(limit: int) -> Reason:
    """Reason: as many environments are being built as may be at once."""
    message = plural(
        "{count} build runs in this center, as many as may at once",
        "{count} builds run in this center, as many as may at once",
        count=limit,
    )
    return Reason(
        Code.ARRAY_LIMIT,
        message,
        text("It starts once one of them ends"),
        (Detail("builds", 1, 0, message),),
    )


def array_limit(limit: int) -> Reason:
    """Reason: the array runs its largest permitted number of elements."""
    message = plural(
        "{count} element of its array runs, as many as may at once",
        "{count} elements of its array run, as many as may at once",
        count=limit,
    )
    return Reason(
        Code.ARRAY_LIMIT,
        message,
        text("It starts once one of them ends"),
        (Detail("array", 1, 0, message),),
    )


def not_before(at_us: int) -> Reason:
    """Reason: its requested start time has not come."""
    return Reason(
        Code.NOT_BEFORE,
        text("It is not to start yet"),
        text("Its start time must come"),
        (),
        StartEstimate(at_us, at_us, at_us),
    )


def reserved(head_id: str, start: StartEstimate | None) -> Reason:
    """Reason: it fits, but would delay a job ahead of it."""
    return Reason(
        Code.RESERVED,
        text(
            "It would fit, but would still run when {job}, which is ahead of it, is due to start", job=head_id
        ),
        text("A shorter time limit would let it run now; otherwise it starts after that job"),
        (),
        start,
    )


def window(name: str, start: StartEstimate) -> Reason:
    """Return what it needs is held for others, or for maintenance, while it would run."""
    return Reason(
        Code.WINDOW,
        text("It would fit, but would still run in a window in which nodes are held: {name}", name=name),
        text(
            "A time limit that ends before the window lets it run now; otherwise it starts after the window"
        ),
        (),
        start,
    )


def behind(head_id: str) -> Reason:
    """Strict order: nobody passes a blocked job."""
    return Reason(
        Code.BEHIND,
        text("{job}, which is ahead of it, cannot start yet and the order is strict", job=head_id),
        text("It is considered once that job has started"),
    )


def preempting(count: int, start: StartEstimate | None) -> Reason:
    """Reason: running jobs are being stopped so that it fits."""
    return Reason(
        Code.PREEMPTING,
        plural(
            "{count} running job is being stopped to free resources for it",
            "{count} running jobs are being stopped to free resources for it",
            count=count,
        ),
        text("It starts once they have stopped"),
        (),
        start,
    )


def resizing(count: int, start: StartEstimate | None) -> Reason:
    """Reason: elastic jobs are being cut so that it fits."""
    return Reason(
        Code.RESIZING,
        plural(
            "{count} elastic job goes on with fewer tasks to free resources for it",
            "{count} elastic jobs go on with fewer tasks to free resources for it",
            count=count,
        ),
        text("It starts once they have given their devices back"),
        (),
        start,
    )


def cut(before: int, tasks: int) -> Text:
    """Why an elastic job gets fewer tasks."""
    return plural(
        "It goes on with {count} task instead of {before}, so that a job that waits can start",
        "It goes on with {count} tasks instead of {before}, so that a job that waits can start",
        count=tasks,
        before=before,
    )


def grown(before: int, tasks: int) -> Text:
    """Why an elastic job gets more tasks."""
    return plural(
        "It goes on with {count} task instead of {before}: no job that waits could use what is idle",
        "It goes on with {count} tasks instead of {before}: no job that waits could use what is idle",
        count=tasks,
        before=before,
    )


def depth(limit: int) -> Reason:
    """Not its turn in this cycle."""
    return Reason(
        Code.DEPTH,
        text("More than {limit} different requests are ahead of it; they are considered first", limit=limit),
        text("It is considered once jobs ahead of it have started or ended"),
    )
