"""Timeline of a simulated attempt: drawn when it is accepted, changed by stops and failures, read at any time. Pure."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pearlstreet.base import text as texts
from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    DeviceGrant,
    DeviceRequest,
    Endpoint,
    EndReason,
    ServiceOrder,
    TaskOrder,
    TaskReport,
    TaskState,
)
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom
from pearlstreet.compute.hardware.isolation import Isolation

EXIT_CODE_VARIABLE = "PEARL_SIMULATE_EXIT_CODE"
EXIT_CODE_VARIABLES = (EXIT_CODE_VARIABLE, "SIMULATE_EXIT_CODE")
"""Variables that set the exit code (0–255) of a simulated job; jobs may set only the second, as PEARL_… are reserved."""
NEVER_US = 1 << 62
CPU_LOAD = 0.85
MEMORY_SHARE = 0.6
"""Share of its memory limit that a simulated task uses."""
READING_EVERY_US = 10 * US_PER_S
"""Step in which the reported use of running attempts changes, so that scans can reuse cached reports."""
IGNORES_SIGTERM_SHARE = 0.05
SHORTEST_S = 0.001
PREPARATION_S = 2.0
"""Pretended time to resolve an environment or fetch a source, in seconds."""


@dataclass(frozen=True, slots=True)
class Habits:
    """Behaviour of simulated jobs whose order does not set it. Run times are log-normal: most short, a few very long."""

    median_s: float = 1200.0
    spread: float = 1.4
    """Standard deviation of the logarithm of the run time."""
    shortest_s: float = 30.0
    longest_s: float = 86_400.0
    failure_share: float = 0.0
    start_latency_s: tuple[float, float] = (0.2, 1.5)


@dataclass(frozen=True, slots=True)
class Kept:
    """Part of an order that the engine keeps: no command and no variables, hence no secrets."""

    attempt_id: str
    tasks: tuple[TaskOrder, ...]
    log_bytes: int
    saves: bool = False
    """Whether it pretends to save its work when it is told to stop."""
    minimum_isolation: Isolation = "none"
    ports: tuple[tuple[str, int], ...] = ()
    """Name and number of each port of a service."""


@dataclass(frozen=True, slots=True)
class AttemptTimeline:
    """Start and end of an attempt, with exit code and reason. Times are in microseconds of the engine's clock."""

    accepted_us: int
    starts_us: int
    planned_us: int
    """Run time without stops and failures; progress in the log is relative to it."""
    ends_us: int
    reason: EndReason
    exit_code: int | None = 0
    signal: int | None = None
    failing_rank: int = 0
    """Rank of the task that ends with `exit_code`; if that is not 0, the other tasks are terminated."""
    runs_ranks: int | None = None
    """Number of tasks that ever start (a fault); None: all."""
    stop_asked: bool = False
    stop_us: int | None = None
    """Time of the first stop request after its start."""
    message: Text | None = None
    runs_us: tuple[tuple[int, int, int], ...] = ()
    """Of a service, each run of its tasks: begin, readiness and end, from the attempt's start on."""
    drained_us: int | None = None
    """Time since which a service takes no more requests."""
    held_us: tuple[int, int] | None = None
    """Of an attempt that waits for machines: time from getting them to its start, and to its end."""

    @property
    def is_pending(self) -> bool:
        """Whether it waits for machines."""
        return self.held_us is not None and self.ends_us == NEVER_US


def keep(order: AttemptOrder) -> Kept:
    """Return the part of an order that the engine keeps."""
    ports = tuple((port.name, port.port) for port in order.service.ports) if order.service else ()
    return Kept(
        order.attempt_id,
        order.tasks,
        order.limits.log_bytes,
        order.simulate_saves,
        order.minimum_isolation,
        ports,
    )


def hold(timeline: AttemptTimeline) -> AttemptTimeline:
    """Return the timeline of an attempt that waits for machines from its acceptance on."""
    accepted_us = timeline.accepted_us
    held_us = (timeline.starts_us - accepted_us, timeline.ends_us - accepted_us)
    return replace(timeline, starts_us=NEVER_US, ends_us=NEVER_US, held_us=held_us)


def release(timeline: AttemptTimeline, at_us: int) -> AttemptTimeline:
    """Return the timeline of a waiting attempt that gets machines at `at_us`."""
    to_start_us, to_end_us = timeline.held_us or (0, 0)
    ends_us = min(at_us + to_end_us, NEVER_US)
    return replace(timeline, accepted_us=at_us, starts_us=at_us + to_start_us, ends_us=ends_us, held_us=None)


def plan(
    order: AttemptOrder, random: KeyedRandom, habits: Habits, now_us: int, scale: float
) -> AttemptTimeline:
    """Draw the timeline of an attempt accepted now; every duration is divided by `scale`."""
    attempt = order.attempt_id
    length_s = _length_s(order, random, habits)
    code = _exit_code(order)
    if code is None and order.purpose == "job" and random.uniform(attempt, "fails") < habits.failure_share:
        code = 1 if random.uniform(attempt, "code") < 0.8 else 137
        length_s *= random.between(0.05, 1.0, attempt, "fails at")
    starts_us = now_us + _us(random.between(*habits.start_latency_s, attempt, "latency"), scale)
    rank = int(random.uniform(attempt, "rank") * len(order.tasks)) if code else 0
    timeline = AttemptTimeline(
        accepted_us=now_us,
        starts_us=starts_us,
        planned_us=_us(length_s, scale),
        ends_us=starts_us + _us(length_s, scale),
        reason=EndReason.EXITED,
        exit_code=code or 0,
        failing_rank=rank,
    )
    if order.service is not None:
        runs_us = _runs(order.service, order, random, length_s, bool(code), scale)
        ends_us = NEVER_US if runs_us[-1][2] >= NEVER_US >> 1 else starts_us + runs_us[-1][2]
        timeline = replace(timeline, runs_us=runs_us, ends_us=ends_us)
        length_s = (ends_us - starts_us) * scale / US_PER_S
    limit_s = order.limits.time_s
    if limit_s is not None and length_s > limit_s:
        return replace(
            _terminated(
                timeline, starts_us + _us(limit_s, scale), order.limits.grace_s, attempt, random, scale
            ),
            reason=EndReason.TIME_LIMIT,
        )
    return timeline


def _runs(
    service: ServiceOrder,
    order: AttemptOrder,
    random: KeyedRandom,
    length_s: float,
    fails: bool,
    scale: float,
) -> tuple[tuple[int, int, int], ...]:
    """Return the runs of a service: one for each start of its tasks. Without a run time of its own it runs until it is stopped."""
    if order.simulate_s is None:
        length_s = math.inf
    policy = service.restart
    again = policy.when == "always" or (policy.when == "on_failure" and fails)
    delay_s = random.between(0.1, 1.0, order.attempt_id, "ready") if service.readiness is not None else 0.0
    runs, begin_s = [], 0.0
    for number in range(policy.maximum + 1 if again and length_s < math.inf else 1):
        begin_us, end_us = _us(begin_s, scale), _us(begin_s + length_s, scale)
        runs.append((begin_us, min(begin_us + _us(delay_s, scale), end_us), end_us))
        begin_s += length_s + policy.delay_s(number)
    return tuple(runs)


def drain(
    timeline: AttemptTimeline, attempt_id: str, random: KeyedRandom, now_us: int, grace_s: float, scale: float
) -> AttemptTimeline:
    """Return the timeline of a service that takes no more requests from now on: its last one ends within the grace."""
    if not timeline.runs_us or now_us < timeline.starts_us or now_us >= timeline.ends_us:
        return stop(timeline, attempt_id, random, now_us, grace_s, scale)
    if timeline.drained_us is not None:
        return timeline
    idle_s = min(random.between(0.0, 5.0, attempt_id, "idle"), max(grace_s, 0.0))
    stopped = stop(timeline, attempt_id, random, now_us + _us(idle_s, scale), 1.0, scale)
    return replace(stopped, drained_us=now_us)


def _service_at(timeline: AttemptTimeline, now_us: int) -> tuple[int, bool]:
    """Return how often the tasks of a service were restarted by a time, and whether they are ready."""
    since_us = now_us - timeline.starts_us
    begun = [run for run in timeline.runs_us if run[0] <= since_us]
    if not begun or now_us >= timeline.ends_us:
        return max(len(begun) - 1, 0), False
    _, ready_us, end_us = begun[-1]
    drained = timeline.drained_us is not None and now_us >= timeline.drained_us
    return len(begun) - 1, ready_us <= since_us < end_us and not drained


def moments(timeline: AttemptTimeline) -> list[int]:
    """Return the times at which the report of an attempt changes by itself."""
    found = [timeline.starts_us, timeline.ends_us]
    if timeline.starts_us < NEVER_US:
        found += [timeline.starts_us + us for run in timeline.runs_us for us in run]
    return [us for us in found if us < NEVER_US]


def stop(
    timeline: AttemptTimeline, attempt_id: str, random: KeyedRandom, now_us: int, grace_s: float, scale: float
) -> AttemptTimeline:
    """Return the timeline after a stop request now with `grace_s`. A repeated request can only make the end earlier."""
    if now_us >= timeline.ends_us:
        return timeline
    if now_us < timeline.starts_us:
        return replace(
            timeline, ends_us=now_us, reason=EndReason.STOPPED, exit_code=None, signal=None, stop_asked=True
        )
    stopped = _terminated(timeline, now_us, grace_s, attempt_id, random, scale)
    if stopped.ends_us >= timeline.ends_us:
        stopped = timeline
    first_us = now_us if timeline.stop_us is None else timeline.stop_us
    return replace(stopped, reason=EndReason.STOPPED, stop_asked=True, stop_us=first_us)


def lose(timeline: AttemptTimeline, now_us: int, why: Text) -> AttemptTimeline:
    """Return the timeline after a machine or device failed now, with the reason ENGINE_LOST."""
    if now_us >= timeline.ends_us:
        return timeline
    return replace(
        timeline, ends_us=now_us, reason=EndReason.ENGINE_LOST, exit_code=None, signal=None, message=why
    )


def stick(timeline: AttemptTimeline, ranks: int) -> AttemptTimeline:
    """Return the timeline of a gang of which only `ranks` tasks start, which waits for the others until it is stopped."""
    return replace(timeline, runs_ranks=ranks, ends_us=NEVER_US)


def report(kept: Kept, timeline: AttemptTimeline, now_us: int) -> AttemptReport:
    """Return the report of the attempt at `now_us`."""
    ended = now_us >= timeline.ends_us
    if timeline.is_pending and not ended:
        waiting = tuple(TaskReport(task.rank, TaskState.PENDING) for task in kept.tasks)
        return AttemptReport(kept.attempt_id, TaskState.PENDING, waiting, wall="simulated")
    tasks = tuple(_task(task, timeline, now_us) for task in kept.tasks)
    if timeline.runs_us:
        tasks = tuple(_with_service(task, kept, timeline, now_us) for task in tasks)
    if ended:
        state = TaskState.EXITED
    elif all(task.state is TaskState.RUNNING for task in tasks):
        state = TaskState.RUNNING
    else:
        state = TaskState.STARTING
    started = (
        timeline.starts_us if now_us >= timeline.starts_us and timeline.starts_us < timeline.ends_us else None
    )
    return AttemptReport(
        attempt_id=kept.attempt_id,
        state=state,
        tasks=tasks,
        started_us=started if timeline.runs_ranks is None else None,
        ended_us=timeline.ends_us if ended else None,
        end_reason=timeline.reason if ended else None,
        exit_code=_attempt_code(timeline) if ended else None,
        message=timeline.message if ended else None,
        wall="simulated",
        saved_us=timeline.stop_us if ended and kept.saves else None,
    )


def valid_until_us(timeline: AttemptTimeline, now_us: int) -> int:
    """Return the time until which a report made at `now_us` stays valid."""
    if now_us >= timeline.ends_us:
        return NEVER_US
    if now_us < timeline.starts_us:
        return min(timeline.starts_us, timeline.ends_us)
    step = (now_us - timeline.starts_us) // READING_EVERY_US + 1
    coming = [us for us in moments(timeline) if us > now_us] if timeline.runs_us else []
    return min(timeline.starts_us + step * READING_EVERY_US, timeline.ends_us, *coming)


def to_json(kept: Kept, timeline: AttemptTimeline) -> dict[str, object]:
    """Return the attempt as a journal record."""
    return {
        "id": kept.attempt_id,
        "tasks": [
            [
                t.rank,
                t.node,
                t.cpus,
                t.memory_gib,
                [[g.index, g.memory_gib, g.compute_percent] for g in t.devices],
                *_wants_to_json(t.wants),
            ]
            for t in kept.tasks
        ],
        "log_bytes": kept.log_bytes,
        **({"saves": True} if kept.saves else {}),
        **({"ports": [list(port) for port in kept.ports]} if kept.ports else {}),
        **({"isolation": kept.minimum_isolation} if timeline.is_pending else {}),
        "course": timeline_to_json(timeline),
    }


def from_json(value: Mapping[str, Any]) -> tuple[Kept, AttemptTimeline]:
    """Read the attempt from a record that `to_json` wrote."""
    tasks = tuple(
        TaskOrder(
            rank, node, cpus, memory_gib, tuple(DeviceGrant(*grant) for grant in grants), *_wants_from(wants)
        )
        for rank, node, cpus, memory_gib, grants, *wants in value["tasks"]
    )
    kept = Kept(
        value["id"],
        tasks,
        value["log_bytes"],
        value.get("saves", False),
        value.get("isolation", "none"),
        tuple((name, port) for name, port in value.get("ports", ())),
    )
    return kept, timeline_from_json(value["course"])


def _wants_to_json(wants: DeviceRequest | None) -> list[object]:
    return [] if wants is None else [wants.model, wants.count, wants.memory_gib, wants.compute_percent]


def _wants_from(values: list[Any]) -> list[DeviceRequest]:
    return [DeviceRequest(*values)] if values else []


def timeline_to_json(timeline: AttemptTimeline) -> dict[str, Any]:
    """Return the timeline as a journal record with the values that differ from the defaults."""
    value: dict[str, Any] = {
        "at": [timeline.accepted_us, timeline.starts_us, timeline.planned_us, timeline.ends_us],
        "reason": timeline.reason.value,
    }
    for name, usual in (
        ("exit_code", 0),
        ("signal", None),
        ("failing_rank", 0),
        ("runs_ranks", None),
        ("stop_us", None),
        ("held_us", None),
        ("drained_us", None),
        ("runs_us", ()),
    ):
        if getattr(timeline, name) != usual:
            value[name] = getattr(timeline, name)
    if timeline.stop_asked:
        value["stop_asked"] = True
    if timeline.message is not None:
        value["message"] = timeline.message.to_json()
    return value


def timeline_from_json(value: Mapping[str, Any]) -> AttemptTimeline:
    """Read the timeline from a record that `timeline_to_json` wrote."""
    rest = {name: item for name, item in value.items() if name not in ("at", "reason", "message")}
    message = texts.from_json(value["message"]) if "message" in value else None
    if "runs_us" in rest:
        rest["runs_us"] = tuple(tuple(run) for run in rest["runs_us"])
    if "held_us" in rest:
        rest["held_us"] = tuple(rest["held_us"])
    accepted_us, starts_us, planned_us, ends_us = value["at"]
    return AttemptTimeline(
        accepted_us, starts_us, planned_us, ends_us, EndReason(value["reason"]), message=message, **rest
    )


def _task(order: TaskOrder, timeline: AttemptTimeline, now_us: int) -> TaskReport:
    ever_starts = timeline.starts_us < timeline.ends_us and (
        timeline.runs_ranks is None or order.rank < timeline.runs_ranks
    )
    ended = now_us >= timeline.ends_us
    if not ever_starts or now_us < timeline.starts_us:
        if ended:
            return TaskReport(order.rank, TaskState.EXITED, ended_us=timeline.ends_us, **_place(order))
        return TaskReport(order.rank, TaskState.STARTING, **_place(order))
    until_us = timeline.ends_us
    if not ended:
        until_us = timeline.starts_us + (now_us - timeline.starts_us) // READING_EVERY_US * READING_EVERY_US
    cpu_s = round(order.cpus * CPU_LOAD * (until_us - timeline.starts_us) / US_PER_S, 3)
    code, signal_ = _task_end(order.rank, timeline) if ended else (None, None)
    return TaskReport(
        rank=order.rank,
        state=TaskState.EXITED if ended else TaskState.RUNNING,
        exit_code=code,
        signal=signal_,
        started_us=timeline.starts_us,
        ended_us=timeline.ends_us if ended else None,
        cpu_s=cpu_s,
        memory_peak_gib=round(order.memory_gib * MEMORY_SHARE, 3),
        **_place(order),
    )


def _with_service(task: TaskReport, kept: Kept, timeline: AttemptTimeline, now_us: int) -> TaskReport:
    restarts, is_ready = _service_at(timeline, min(now_us, timeline.ends_us))
    runs = task.state is TaskState.RUNNING
    host = f"{kept.attempt_id}-{task.rank}.simulated".replace("_", "-")
    return replace(
        task,
        restarts=restarts,
        is_ready=is_ready and runs,
        endpoints=tuple(Endpoint(name, f"tcp:{host}:{port}") for name, port in kept.ports) if runs else (),
    )


def _place(order: TaskOrder) -> dict[str, Any]:
    """Return where a task was placed, as fields of its report."""
    return {"node": order.node, "devices": tuple(grant.index for grant in order.devices)}


def _task_end(rank: int, timeline: AttemptTimeline) -> tuple[int | None, int | None]:
    """Return a task's exit code as a shell gives it (128 + signal), and the signal."""
    code = _attempt_code(timeline)
    if timeline.exit_code and rank != timeline.failing_rank:
        code = 128 + signal.SIGTERM
    by_signal = code is not None and 128 < code <= 128 + signal.NSIG
    return code, code - 128 if code is not None and by_signal else None


def _attempt_code(timeline: AttemptTimeline) -> int | None:
    return 128 + timeline.signal if timeline.signal else timeline.exit_code


def _terminated(
    timeline: AttemptTimeline, at_us: int, grace_s: float, attempt_id: str, random: KeyedRandom, scale: float
) -> AttemptTimeline:
    """Return the timeline with SIGTERM at `at_us` and SIGKILL `grace_s` later; a few programs ignore SIGTERM."""
    reaction_s = random.between(0.05, 1.5, attempt_id, "reaction")
    if random.uniform(attempt_id, "ignores") < IGNORES_SIGTERM_SHARE:
        reaction_s = math.inf
    killed = reaction_s > grace_s
    return replace(
        timeline,
        ends_us=at_us + _us(min(reaction_s, max(0.0, grace_s)), scale),
        exit_code=None,
        signal=int(signal.SIGKILL if killed else signal.SIGTERM),
        failing_rank=0,
    )


def _length_s(order: AttemptOrder, random: KeyedRandom, habits: Habits) -> float:
    if order.simulate_s is not None:
        return max(SHORTEST_S, order.simulate_s)
    if order.purpose != "job":
        return PREPARATION_S
    drawn = habits.median_s * math.exp(habits.spread * random.normal(order.attempt_id, "length"))
    return min(max(drawn, habits.shortest_s), habits.longest_s)


def _exit_code(order: AttemptOrder) -> int | None:
    given = next((order.variables[name] for name in EXIT_CODE_VARIABLES if name in order.variables), "")
    return int(given) if given.isascii() and given.isdigit() and int(given) <= 255 else None


def _us(seconds: float, scale: float) -> int:
    return int(min(seconds / scale * US_PER_S, NEVER_US >> 1))
