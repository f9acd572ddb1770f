"""PURE: derives resource requests and prices from job specifications."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import ZERO, Money
from pearlstreet.base.text import text
from pearlstreet.compute.execution.metering import GFLOPS_PER_PFLOPS, AttemptUsage
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp, share_request
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.scheduling.feasible import feasible
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import Request, match_models
from pearlstreet.ledger.pricing import PriceVersion, hourly_rate
from pearlstreet.workload.spec.model import JobSpec


def ask_of(spec: JobSpec) -> ResourceRequest:
    """Return the resource request of a specification, in the planner's units."""
    per = spec.per_task
    share = (
        share_request(per.fraction.memory_gib or None, per.fraction.compute_percent or None)
        if per.fraction
        else None
    )
    return ResourceRequest(
        tasks=spec.tasks,
        accelerators=per.accelerator,
        count=per.count,
        share_memory_mib=share.memory_mib if share else 0,
        share_compute_bp=share.compute_bp if share else 0,
        cpu_milli=math.ceil(per.cpus * 1000),
        memory_mib=math.ceil(per.memory_gib * 1024),
        time_limit_s=spec.time_limit_s,
        preemptible=spec.preemptible,
        retries=spec.retries.max,
        retry_on=spec.retries.on,
        grace_s=spec.limits.grace_s,
        simulate_s=spec.simulate_s,
        deadline_us=spec.deadline_us,
        min_tasks=spec.elastic.min_tasks if spec.elastic else 0,
        max_tasks=spec.elastic.max_tasks if spec.elastic else 0,
    )


def refuse_impossible(snapshot: Snapshot | None, ask: ResourceRequest) -> None:
    """Raise InvalidInput for a request that the center could not run even if it were empty."""
    if snapshot is None or snapshot.nodes.count == 0:
        return
    reason = feasible(snapshot, ask.request(), ask.min_tasks_effective)
    if reason is None:
        return
    problems = [Problem("per_task", reason.message, hint=reason.unblock)]
    problems += [Problem(f"per_task.{detail.constraint}", detail.message) for detail in reason.details]
    raise InvalidInput(text("This center could never run the job"), hint=reason.unblock, problems=problems)


def most_expensive_hour(snapshot: Snapshot | None, version: PriceVersion, ask: ResourceRequest) -> Money:
    """Return the price of an hour on the most expensive device model that the job may get."""
    rates = [hourly_rate(version, usage.demands()) for usage in _possible(snapshot, ask)]
    return max(rates, default=ZERO)


def _possible(snapshot: Snapshot | None, ask: ResourceRequest) -> list[AttemptUsage]:
    request = ask.request()
    if not request.wants_device:
        return [
            AttemptUsage(
                "",
                0,
                ask.cpu_milli * ask.max_tasks_effective,
                ask.memory_mib * ask.max_tasks_effective,
                None,
                "",
            )
        ]
    models = match_models(request.accelerators, _models(snapshot, request)) if snapshot else ()
    found = []
    for model in models or ("*",):
        known = snapshot is not None and model in snapshot.models
        gflops = int(snapshot.model_gflops[snapshot.models.index(model)]) if known and snapshot else 0
        found.append(
            AttemptUsage(
                model=model,
                card_bp=_held_bp(ask, model) * ask.max_tasks_effective,
                cpu_milli=ask.cpu_milli * ask.max_tasks_effective,
                memory_mib=ask.memory_mib * ask.max_tasks_effective,
                pflops_per_card=gflops / GFLOPS_PER_PFLOPS or None,
                pflops_basis="",
            )
        )
    return found


def _models(snapshot: Snapshot, request: Request) -> Sequence[str]:
    """Return the device models of the engines that a request names; all models if it names none that the center has."""
    here = [number for number, name in enumerate(snapshot.domains) if name in request.domains]
    if not here:
        return snapshot.models
    numbers = np.unique(snapshot.nodes.device_model[np.isin(snapshot.nodes.domain, here)])
    return [snapshot.models[number] for number in numbers.tolist() if number >= 0]


def _held_bp(ask: ResourceRequest, model: str) -> int:
    request = ask.request()
    if request.share is None:
        return ask.count * FULL_BP
    accelerator = catalogue().find(model)
    memory_gib = accelerator.memory_gib if accelerator and accelerator.memory_gib else None
    if memory_gib is None:
        return FULL_BP
    total = Share(math.floor(memory_gib * 1024), FULL_BP)
    return min(FULL_BP, card_bp(request.share.on(total), total))
