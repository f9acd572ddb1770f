"""Frozen values the planner answers with: placements, preemptions, and a reason for every job not placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pearlstreet.base.text import Text, from_json


class Code(StrEnum):
    """Why a job waits: stable and machine-readable."""

    IMPOSSIBLE = "impossible"
    """No node of the center could ever run it, even when empty."""
    NOT_BEFORE = "not_before"
    QUOTA = "quota"
    ARRAY_LIMIT = "array_limit"
    CAPACITY = "capacity"
    """The resources it needs are in use."""
    RESERVED = "reserved"
    """It would fit, but would delay a job ahead of it that has a reservation."""
    BEHIND = "behind"
    """Strict order: a job ahead of it is blocked."""
    PREEMPTING = "preempting"
    """Attempts are being stopped so that it fits."""
    RESIZING = "resizing"
    """Elastic jobs are being cut so that it fits."""
    WINDOW = "window"
    """It would fit, but would run into a window in which nodes are held for others or for maintenance."""
    DEPTH = "depth"
    """The cycle considers a limited number of jobs, and this one was beyond it."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One constraint: the needed amount, the available amount, and a sentence with both."""

    constraint: str
    """`devices`, `share`, `cpu`, `memory`, `tasks`, `model`, `quota`, `array` …"""
    needed: float
    available: float
    message: Text


@dataclass(frozen=True, slots=True)
class StartEstimate:
    """Estimated start: likely time and band, derived from limits and predicted ends of running jobs."""

    earliest_us: int
    likely_us: int
    latest_us: int
    guess: bool = False
    """Whether it rests on predictions (nine in ten jobs end by `latest_us`) and not only on enforced limits."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job was not placed and what would unblock it. Shared by equal jobs."""

    code: Code
    message: Text
    unblock: Text
    details: tuple[Detail, ...] = ()
    start: StartEstimate | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a form for a JSON column; `reason_from_json` reads it back."""
        return {
            "code": self.code.value,
            "message": self.message.to_json(),
            "unblock": self.unblock.to_json(),
            "details": [
                {
                    "constraint": d.constraint,
                    "needed": d.needed,
                    "available": d.available,
                    "message": d.message.to_json(),
                }
                for d in self.details
            ],
            "start": None
            if self.start is None
            else [
                self.start.earliest_us,
                self.start.likely_us,
                self.start.latest_us,
                *([True] if self.start.guess else ()),
            ],
        }


def reason_from_json(value: Mapping[str, Any]) -> Reason:
    """Return the reason that `Reason.to_json` wrote."""
    start = value.get("start")
    return Reason(
        code=Code(value["code"]),
        message=from_json(value["message"]),
        unblock=from_json(value["unblock"]),
        details=tuple(
            Detail(d["constraint"], d["needed"], d["available"], from_json(d["message"]))
            for d in value.get("details", ())
        ),
        start=None if start is None else StartEstimate(*start),
    )


@dataclass(frozen=True, slots=True)
class Wait:
    """A waiting job that stays waiting. `position` counts from 1 in the planner's order."""

    job_id: str
    position: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class DeviceGiven:
    """A device, by the engine's index. A whole one has all its memory and 10,000 basis points."""

    index: int
    memory_mib: int
    compute_bp: int
    whole: bool


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Place of one task of the gang; its rank is its position in the list."""

    node: str
    node_index: int
    devices: tuple[DeviceGiven, ...]


LOSES_MORE, PACKS_WORSE, SCORES_WORSE = "loses_more", "packs_worse", "scores_worse"
"""Why another node was not taken: the center could take less afterwards; just as much, but it packs worse; its score."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A node that a placement policy liked less."""

    node: str
    score: float
    more: float
    """By how much the score is higher than that of the chosen node."""
    code: str
    """`loses_more`, `packs_worse` or `scores_worse`."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Alternatives among which a node was chosen, for the question why a job runs there. Lower scores are better."""

    policy: str
    score: float
    """Placement score: with `expected-fill` the capacity lost for later jobs, in devices; else in the policy's own unit."""
    equal: int
    """Number of other nodes with exactly the same score. Among equal nodes the first in the list of nodes is chosen."""
    others: tuple[Alternative, ...]
    """Alternatives that the choice examined, one node of each different score."""

    def to_json(self) -> dict[str, Any]:
        """Return a form for a JSON column."""
        return {
            "policy": self.policy,
            "score": round(self.score, 6),
            "equal": self.equal,
            "alternatives": [
                {"node": one.node, "score": round(one.score, 6), "more": round(one.more, 6), "code": one.code}
                for one in self.others
            ],
        }


@dataclass(frozen=True, slots=True)
class Placement:
    """A job that starts now: every task of it."""

    job_id: str
    tasks: tuple[TaskPlace, ...]
    model: str
    """Model of its accelerators; empty without any."""
    gflops: int
    """Normalised compute it holds."""
    position: int
    backfilled: bool
    """Whether it passed a blocked job ahead of it."""
    borrowing: bool
    """Beyond its organisation's or project's guarantee."""
    why: Text
    chosen: Chosen | None = field(default=None, compare=False)
    """Alternatives of the choice, if asked for; not part of the decision."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """An attempt to stop so that `for_job_id` can start once it is gone."""

    attempt_id: str
    job_id: str
    for_job_id: str
    grace_s: float
    why: Text


@dataclass(frozen=True, slots=True)
class Resize:
    """An attempt of an elastic job to stop, so that the next one starts with `tasks` tasks."""

    attempt_id: str
    job_id: str
    tasks: int
    grace_s: float
    why: Text
    before: int = 0
    """Tasks it has now."""
    for_job_id: str = ""
    """The blocked job that can then start; empty when it grows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to one snapshot: every waiting job is in exactly one of `placements` and `waits`."""

    revision: int
    placements: tuple[Placement, ...]
    preemptions: tuple[Preemption, ...]
    waits: Sequence[Wait]
    """Built when first read; compares like a tuple."""
    order: str = ""
    placement: str = ""
    considered: int = 0
    """Number of different requests that were tried."""
    resizes: tuple[Resize, ...] = ()
    """Resizes that the elasticity policy asks for."""
