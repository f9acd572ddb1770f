"""PURE: estimate a workload on one candidate: time, energy, memory and layout, or serving rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import HOUR_S, format_short
from pearlstreet.compute.estimate import building, devices
from pearlstreet.compute.estimate.assumptions import assumptions
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.estimators import (
    Layout,
    ServingEstimate,
    energy_kwh,
    estimate_serving,
    estimate_training,
)
from pearlstreet.compute.estimate.learning import Calibration
from pearlstreet.compute.estimate.model import Partial, Serving, Training
from pearlstreet.compute.estimate.overhead import NO_OVERHEAD, Overhead
from pearlstreet.compute.hardware.catalogue import Catalogue
from pearlstreet.compute.hardware.normalise import normalised_rate
from pearlstreet.quotes.candidates import Candidate
from pearlstreet.quotes.model import Kind, Workload

ACCURATE, OTHER_DEVICE, OTHER_COUNT = 0.1, 0.35, 0.12
"""Standard deviations of the logarithm of time: between equal runs; between device models scaled by normalised compute; for
each doubling of the device count."""
LOSS = 0.05
"""Increase of the logarithm of device time that each doubling of the device count is assumed to cost."""
LARGEST = {
    "params": 1e16, "active": 1e16, "layers": 100_000, "hidden": 10_000_000, "heads": 100_000, "kv_heads": 100_000,
    "vocabulary": 1_000_000_000, "forward_flops": 1e18,
}  # fmt: skip
"""Largest accepted size of each field of a network; larger ones are typing errors."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    "tokens": (1.0, 1e30), "samples": (1.0, 1e30), "epochs": (1e-6, 1e6), "requests": (1.0, 1e15), "hours": (1e-4, 1e6),
    "count": (1.0, 1e6), "input_tokens": (1.0, 1e7), "output_tokens": (1.0, 1e7), "concurrency": (1e-3, 1e7),
    "requests_per_s": (1e-6, 1e7), "sequence": (1.0, 1e9), "batch_tokens": (1.0, 1e15),
}  # fmt: skip
"""Smallest and largest accepted amount of work by field; others are typing errors."""
SPARSEST = 10_000.0
"""Largest accepted ratio of all parameters to those active for a token."""
LONGEST_S = 100.0 * 365 * 86_400
LAYOUT = (
    "tensor",
    "pipeline",
    "data",
    "context",
    "expert",
    "zero",
    "recompute",
    "micro_batch",
    "virtual_stages",
)
SERVE_HOURS = 24.0
OF_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "tokens": (Kind.TRAIN,),
    "samples": (Kind.TRAIN,),
    "requests": (Kind.INFER,),
    "requests_per_s": (Kind.SERVE,),
    "concurrency": (Kind.INFER, Kind.SERVE),
    "hours": (Kind.SERVE, Kind.CUSTOM),
    "accelerator": (Kind.CUSTOM,),
    "job_name": (Kind.HISTORY,),
}
"""Kinds of work that each field about the amount of work belongs to."""


@dataclass(frozen=True, slots=True)
class Past:
    """One finished run of the tenant: accelerator model, count and run time in seconds."""

    model: str
    count: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """Estimate of a workload on one candidate."""

    elapsed_s: Band
    """Run time by the clock in seconds, including the overhead."""
    device_s: Band
    it_kwh: Band
    layout: Mapping[str, int | str]
    memory_gib: float | None
    device_memory_gib: float
    serving: ServingEstimate | None
    utilisation: float | None
    assumed: tuple[Text, ...]
    warnings: tuple[Text, ...]
    untaught_device_s: float
    overhead: Overhead = NO_OVERHEAD
    """Start-up, loading and saving, which are part of `elapsed_s`."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a workload does not run on a candidate."""

    why: Text
    shortfall: float = math.inf
    """Needed over available memory; the smallest ratio is the nearest miss."""


@dataclass(frozen=True, slots=True)
class Background:
    """Inputs of an estimate beside the question: catalogue, calibration, recipe and past runs."""

    book: Catalogue
    learnt: Calibration
    recipe: str
    past: Sequence[Past] = ()


def estimate(work: Workload, candidate: Candidate, known: Background) -> Work | Unfit:
    """Estimate a workload on one candidate. Does not raise for workloads that passed `check_workload`."""
    if work.kind is Kind.TRAIN:
        return _training(work, candidate, known)
    if work.kind in (Kind.INFER, Kind.SERVE):
        return _serving(work, candidate, known)
    return _scaled(work, candidate, known)


def check_workload(work: Workload, book: Catalogue, past: Sequence[Past]) -> None:
    """Raise InvalidInput with every problem of a workload that does not depend on the hardware."""
    problems = list(_own_problems(work, past))
    try:
        anything = building.Machines("h100-sxm-80g", building.MOST_DEVICES)
        if work.kind is Kind.TRAIN:
            training_of(work, anything, book, "")
        elif work.kind in (Kind.INFER, Kind.SERVE):
            serving_of(work, anything, book)
    except InvalidInput as error:
        found = [replace(one, field=field_of(one.field)) for one in error.problems]
        said = {one.field for one in found}  # the estimate's own message about a field replaces ours
        problems = [one for one in problems if one.field not in said] + found
        if not error.problems:
            problems.append(Problem("workload", error.message, hint=error.hint))
    if work.kind is Kind.CUSTOM and devices.find(work.accelerator, book) is None:
        near = book.suggest(work.accelerator)
        problems.append(
            Problem(
                "workload.accelerator",
                text("The catalogue has no accelerator called {name}", name=repr(work.accelerator[:60])),
                hint=text("Did you mean {names}?", names=", ".join(near)) if near else None,
            )
        )
    if problems:
        raise InvalidInput(text("The workload cannot be quoted as it is"), problems=problems)


_OF_MODEL = frozenset(one.name for one in fields(building.Model))


def field_of(name: str) -> str:
    """Return the quote's name for a field of the estimate's question."""
    return f"workload.model.{name}" if name in _OF_MODEL else f"workload.{name}"


def _own_problems(work: Workload, past: Sequence[Past]) -> list[Problem]:
    found = list(_of_other_kinds(work))
    others = {one.field.removeprefix("workload.") for one in found}
    for name, (least, most) in BOUNDS.items():
        value = getattr(work, name)
        if value is not None and not (least <= value <= most) and name not in others:
            found.append(Problem(f"workload.{name}", _beyond(value, least, most)))
    if (
        work.batch_tokens is not None
        and work.tokens is not None
        and work.batch_tokens > work.tokens * work.epochs
    ):
        message = text(
            "A batch of {batch} tokens is more than there are", batch=format_short(work.batch_tokens)
        )
        found.append(Problem("workload.batch_tokens", message))
    for name, most in LARGEST.items():
        size = getattr(work.model, name)
        if size is not None and not (1 <= size <= most):
            found.append(Problem(f"workload.model.{name}", _beyond(size, 1, most)))
    params, active = work.model.params, work.model.active
    if params is not None and active is not None and 0 < active < params / SPARSEST:
        found.append(Problem("workload.model.active", _beyond(active, params / SPARSEST, params)))
    missing = {
        Kind.INFER: ("requests", work.requests, text("Say how many requests there are to answer")),
        Kind.CUSTOM: ("hours", work.hours, text("Say how many hours it took")),
        Kind.HISTORY: ("job_name", work.job_name or None, text("Say how the finished jobs are called")),
    }.get(work.kind)
    if missing is not None and missing[1] is None:
        found.append(Problem(f"workload.{missing[0]}", missing[2]))
    if work.kind is Kind.TRAIN and work.tokens is None and work.samples is None:
        found.append(Problem("workload.tokens", text("Say how many tokens or samples there are to train on")))
    if work.kind is Kind.HISTORY and work.job_name and not past:
        message = text("No job called {name} has succeeded on accelerators", name=repr(work.job_name[:80]))
        found.append(Problem("workload.job_name", message))
    if work.kind is Kind.SERVE and work.concurrency is not None and work.requests_per_s is not None:
        message = text("Give requests at once or requests a second, not both")
        found.append(Problem("workload.concurrency", message))
    return found


def _of_other_kinds(work: Workload) -> Iterator[Problem]:
    """Yield problems for fields that do not belong to the workload's kind."""
    for name, kinds in OF_KINDS.items():
        if work.kind not in kinds and getattr(work, name) not in (None, ""):
            message = text(
                "This belongs to work of kind {kinds}, and the work is of kind {kind}",
                kinds=", ".join(kinds),
                kind=work.kind.value,
            )
            yield Problem(f"workload.{name}", message)


def _beyond(value: float, least: float, most: float) -> Text:
    if value <= 0:
        return text("{value} must be greater than zero", value=format_short(value))
    if value < least:
        return text("{value} is less than {least}", value=format_short(value), least=format_short(least))
    return text(
        "{value} is not between {least} and {most}",
        value=format_short(value),
        least=format_short(least),
        most=format_short(most),
    )


def training_of(work: Workload, machines: building.Machines, book: Catalogue, recipe: str) -> Training:
    """Return the estimate's question. Raises InvalidInput."""
    return building.training(
        work.model,
        machines,
        book,
        precision=work.precision,
        mode=work.mode,
        tokens=work.tokens,
        samples=work.samples,
        epochs=work.epochs,
        sequence=work.sequence,
        batch_tokens=work.batch_tokens,
        layout=Partial(tensor=work.tensor, pipeline=work.pipeline, data=work.data),
        recompute=work.recompute,
        recipe=recipe,
    )


def serving_of(work: Workload, machines: building.Machines, book: Catalogue) -> Serving:
    """Return the estimate's question. Raises InvalidInput."""
    return building.serving(
        work.model,
        machines,
        book,
        precision=work.precision,
        input_tokens=work.input_tokens,
        output_tokens=work.output_tokens,
        concurrency=work.concurrency,
        requests_per_s=work.requests_per_s if work.kind is Kind.SERVE else None,
        tensor=work.tensor,
        engine=work.engine,
    )


def _machines(candidate: Candidate, book: Catalogue) -> building.Machines:
    entry = devices.find(candidate.model, book)
    racks = entry is not None and "NVL" in entry.link
    return building.Machines(candidate.model, candidate.count, None if racks else candidate.per_node)


def _training(work: Workload, candidate: Candidate, known: Background) -> Work | Unfit:
    try:
        run = training_of(work, _machines(candidate, known.book), known.book, known.recipe)
        found = estimate_training(run, learnt=known.learnt)
    except InvalidInput as error:
        return Unfit(error.problems[0].message if error.problems else error.message)
    hardware, best = run.hardware, found.best
    if found.device_s is None or found.elapsed_s is None or found.energy_kwh is None:
        return Unfit(
            text("Nothing says how long it runs: give tokens for a language model, samples for others")
        )
    if best is not None and not found.fits:
        return _too_large(best.memory_gib, hardware.memory, candidate)
    if found.device_s.p90 / candidate.count > LONGEST_S:
        return Unfit(text("It would run for more than a hundred years"))
    taught, _ = known.learnt.correct(hardware.accelerator, known.recipe, 0.0, 1.0)
    elapsed_s = found.elapsed_s.plus(found.overhead.total_s)
    device_s = elapsed_s.times(candidate.count)
    return Work(
        elapsed_s=elapsed_s,
        device_s=device_s,
        it_kwh=energy_kwh(device_s, hardware.power_w),
        layout=_layout(best) if best is not None else {},
        memory_gib=best.memory_gib if best is not None else None,
        device_memory_gib=hardware.memory / devices.GIB,
        serving=None,
        utilisation=found.utilisation,
        assumed=_assumed(found.assumed),
        warnings=_outside(found.outside),
        untaught_device_s=found.device_s.median * math.exp(-taught),
        overhead=found.overhead,
    )


def _serving(work: Workload, candidate: Candidate, known: Background) -> Work | Unfit:
    try:
        ask = serving_of(work, _machines(candidate, known.book), known.book)
        found = estimate_serving(ask, learnt=known.learnt)
        if work.kind is Kind.INFER and (work.requests or 0.0) < found.best.at_once * found.best.replicas:
            # Too few requests to fill a replica: all run at once.
            ask = replace(ask, concurrency=work.requests)
            found = estimate_serving(ask, learnt=known.learnt)
    except InvalidInput as error:
        return Unfit(error.problems[0].message if error.problems else error.message)
    best = found.best
    if not best.fits:
        return _too_large(best.memory / devices.GIB, ask.hardware.memory, candidate)
    warnings, assumed = _outside(found.outside), _assumed(found.assumed)
    if work.kind is Kind.SERVE:
        if work.hours is None:
            assumed = (*assumed, text("It serves for {hours} h", hours=f"{SERVE_HOURS:g}"))
        elapsed_s = Band(*[(work.hours or SERVE_HOURS) * HOUR_S] * 3)
        if work.requests_per_s is not None and found.requests_per_s.median < work.requests_per_s:
            return Unfit(
                text("It answers {can} requests a second, not {load}",
                     can=f"{found.requests_per_s.median:.3g}", load=f"{work.requests_per_s:.3g}")
            )  # fmt: skip
        if not (math.isfinite(found.ttft_s.p90) and math.isfinite(found.tpot_s.p90)):
            return Unfit(text("It does not keep up with the load: requests would wait without end"))
        if work.requests_per_s is not None and found.requests_per_s.p10 < work.requests_per_s:
            warnings = (*warnings, text("It may not keep up with the load: one case in ten is too slow"))
    else:
        tokens = (work.requests or 0.0) * work.output_tokens
        rate = found.output_tokens_per_s
        elapsed_s = _no_sooner_than_one(
            Band(tokens / rate.p90, tokens / rate.median, tokens / rate.p10), found, work.output_tokens
        )
        if elapsed_s.p90 > LONGEST_S:
            return Unfit(text("It would run for more than a hundred years"))
    working_s = elapsed_s.median
    if work.kind is Kind.INFER:
        elapsed_s = elapsed_s.plus(found.overhead.total_s)
    device_s = elapsed_s.times(candidate.count)
    taught, _ = known.learnt.correct(ask.hardware.accelerator, "", 0.0, 1.0)
    return Work(
        elapsed_s=elapsed_s,
        device_s=device_s,
        it_kwh=energy_kwh(device_s, ask.hardware.power_w),
        layout={"tensor": best.tensor, "replicas": best.replicas},
        memory_gib=best.memory / devices.GIB,
        device_memory_gib=ask.hardware.memory / devices.GIB,
        serving=found,
        utilisation=None,
        assumed=assumed,
        warnings=warnings,
        untaught_device_s=working_s
        * candidate.count
        * (math.exp(-taught) if work.kind is Kind.INFER else 1.0),
        overhead=found.overhead,
    )


def _no_sooner_than_one(elapsed_s: Band, found: ServingEstimate, output_tokens: int) -> Band:
    """Return the time limited from below by the time of a single answer."""
    ttft, tpot = found.ttft_s, found.tpot_s
    return Band(
        max(elapsed_s.p10, ttft.p10 + output_tokens * tpot.p10),
        max(elapsed_s.median, ttft.median + output_tokens * tpot.median),
        max(elapsed_s.p90, ttft.p90 + output_tokens * tpot.p90),
    )


def _scaled(work: Workload, candidate: Candidate, known: Background) -> Work | Unfit:
    """Estimate from runs on other hardware, scaled by normalised compute of the devices."""
    entry = devices.find(candidate.model, known.book)
    target = candidate.pflops or (float(normalised_rate(entry).pflops) or None)
    if entry is None or target is None:
        return Unfit(text("Nobody knows the compute of {accelerator}", accelerator=candidate.model))
    past = known.past
    if work.kind is Kind.CUSTOM:
        past = [Past(work.accelerator, work.count, (work.hours or 0.0) * HOUR_S)]
    logs, doubts, needed = [], [], 0.0
    for run in past:
        seen = devices.find(run.model, known.book)
        same = seen is not None and seen.id == entry.id
        rate = target if same or seen is None else float(normalised_rate(seen).pflops)
        if not rate or run.elapsed_s <= 0:
            continue
        doublings = math.log2(candidate.count / run.count)
        logs.append(math.log(run.elapsed_s * run.count * rate / target) + LOSS * doublings)
        doubts.append(math.hypot(0.0 if same else OTHER_DEVICE, OTHER_COUNT * abs(doublings)))
        needed = max(needed, run.count * (seen.device_memory_gib if seen is not None else 0.0))
    if not logs:
        return Unfit(text("Nobody knows the compute of {accelerator}", accelerator=candidate.model))
    has = entry.device_memory_gib * candidate.count
    if has and needed > has * 1.02:
        return Unfit(
            text("It ran with {needed} GiB of accelerator memory in all; this has {has}",
                 needed=f"{needed:.0f}", has=f"{has:.0f}"),
            needed / has,
        )  # fmt: skip
    mean = sum(logs) / len(logs)
    spread = (
        math.sqrt(sum((log - mean) ** 2 for log in logs) / (len(logs) - 1)) if len(logs) > 1 else ACCURATE
    )
    doubt = math.hypot(max(spread, ACCURATE), min(doubts))
    device_s = Band.around(math.exp(mean), doubt)
    if device_s.p90 / candidate.count > LONGEST_S:
        return Unfit(text("It would run for more than a hundred years"))
    warnings: list[Text] = []
    if min(doubts) > 0:
        warnings.append(
            text("Scaled by normalised compute and number from runs on other hardware, so the range is wide")
        )
    power_w = (entry.power_w or 400.0) / entry.dies
    return Work(
        elapsed_s=device_s.times(1.0 / candidate.count),
        device_s=device_s,
        it_kwh=energy_kwh(device_s, power_w),
        layout={},
        memory_gib=None,
        device_memory_gib=entry.device_memory_gib,
        serving=None,
        utilisation=None,
        assumed=(text("Memory is taken to suffice where there is as much in all as where it ran"),),
        warnings=tuple(warnings),
        untaught_device_s=device_s.median,
    )


def _too_large(needed_gib: float, memory: float, candidate: Candidate) -> Unfit:
    has = memory / devices.GIB
    return Unfit(
        text(
            "{count} × {accelerator} have {has} GiB each; the best layout needs {needed}",
            count=candidate.count,
            accelerator=candidate.model,
            has=f"{has:.0f}",
            needed=f"{needed_gib:.0f}",
        ),
        needed_gib / has,
    )


def _layout(best: Layout) -> dict[str, int | str]:
    return {name: getattr(best, name) for name in LAYOUT}


def _assumed(names: Sequence[str]) -> tuple[Text, ...]:
    found = assumptions(names)
    return () if found is None else (found,)


def _outside(reasons: Sequence[Text]) -> tuple[Text, ...]:
    return tuple(text("Outside the evidence, so the range is wider: {reason}", reason=why) for why in reasons)
