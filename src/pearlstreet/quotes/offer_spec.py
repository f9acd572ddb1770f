"""PURE: build the complete job specification of an offer from a draft and a candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.quotes.candidates import CPUS_A_CARD, MEMORY_GIB_A_CARD, Candidate
from pearlstreet.workload.spec.model import JobSpec, PerTask
from pearlstreet.workload.spec.parse import parse_json

MARGIN = 1.25
"""Ratio of the time limit to the 90th percentile of run time: one run in ten exceeds P90, few exceed it by a quarter."""
SHORTEST_LIMIT_S = 600.0
LONGEST_LIMIT_S = 30 * 86_400.0
"""Longest time limit of a job in seconds."""
PREFIX = "PEARL_LAYOUT_"
DECIDED = ("tasks", "time_limit", "elastic", "array")
"""Fields that a draft may not have: the offer decides them, or they make several runs."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job without the fields that offers decide. `cpus` and `memory_gib` of a task: None if the draft leaves them open."""

    spec: JobSpec
    written: Mapping[str, object]
    cpus: float | None
    memory_gib: float | None


def read_draft(written: Mapping[str, object], *, private_git: bool = False) -> Draft:
    """Check a draft. Raises InvalidInput with every problem, in fields beneath `job`."""
    problems = [
        Problem(f"job.{name}", text("An offer decides this"), hint=text("Leave {field} out", field=name))
        for name in DECIDED
        if name in written
    ]
    per = written.get("per_task")
    per = per if isinstance(per, Mapping) else {}
    problems += [
        Problem(
            f"job.per_task.{name}",
            text("An offer decides this"),
            hint=text("Leave {field} out", field=f"per_task.{name}"),
        )
        for name in ("accelerator", "count", "fraction")
        if name in per
    ]
    try:
        spec = parse_json(dict(written), private_git=private_git)
    except InvalidInput as error:
        known = {problem.field for problem in problems}
        problems += [
            replace(one, field=f"job.{one.field}")
            for one in error.problems
            if f"job.{one.field}" not in known
        ]
        raise InvalidInput(text("The draft of the job is not right"), problems=problems) from None
    if problems:
        raise InvalidInput(text("The draft of the job is not right"), problems=problems)
    return Draft(
        spec,
        written,
        spec.per_task.cpus if "cpus" in per else None,
        spec.per_task.memory_gib if "memory_gib" in per else None,
    )


def per_task_of(draft: Draft | None, candidate: Candidate) -> PerTask:
    """Return the resources of each task: accelerators, and CPUs and memory from the draft or the node."""
    cpus = min(CPUS_A_CARD, candidate.cpus_a_card) * candidate.per_task
    memory_gib = min(MEMORY_GIB_A_CARD, candidate.memory_gib_a_card) * candidate.per_task
    return PerTask(
        (candidate.model,),
        candidate.per_task,
        None,
        draft.cpus if draft is not None and draft.cpus is not None else max(0.1, math.floor(cpus * 10) / 10),
        draft.memory_gib
        if draft is not None and draft.memory_gib is not None
        else max(0.1, math.floor(memory_gib * 10) / 10),
    )


def time_limit_s(elapsed_s: Band, *, exact: bool = False) -> float:
    """Return the time limit: P90 with a margin, in whole minutes; `exact`: the run time itself."""
    wanted = elapsed_s.p90 if exact else max(elapsed_s.p90 * MARGIN, SHORTEST_LIMIT_S)
    whole = math.ceil(wanted / 60.0) * 60.0
    return LONGEST_LIMIT_S if whole > LONGEST_LIMIT_S >= elapsed_s.p90 else whole


def complete(
    draft: Draft, candidate: Candidate, limit_s: float, layout: Mapping[str, int | str]
) -> JobSpec | Text:
    """Return the job specification, or why there is none."""
    if limit_s > LONGEST_LIMIT_S:
        return plural("It takes longer than the {count} day that one job may run: split it at its checkpoints", "It takes longer than the {count} days that one job may run: split it at its checkpoints",
                    count=round(LONGEST_LIMIT_S / 86_400))  # fmt: skip
    told = {f"{PREFIX}{name.upper()}": str(value) for name, value in layout.items()}
    return replace(
        draft.spec,
        tasks=candidate.tasks,
        per_task=per_task_of(draft, candidate),
        time_limit_s=limit_s,
        variables=told | draft.spec.variables,
    )
