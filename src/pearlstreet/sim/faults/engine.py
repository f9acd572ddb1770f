"""Faults of the engine's machines and of the connection to it. Some are implemented by the simulated engine itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, Observation, TaskState
from pearlstreet.compute.engines.simulated import Fault, FaultPlan, FaultRule
from pearlstreet.compute.engines.simulated.attempt_timeline import NEVER_US, AttemptTimeline
from pearlstreet.sim.faults.kind import FaultContext

Injection = Callable[[FaultContext], Outcome[object]]
_STEPS = (TaskState.PENDING, TaskState.STARTING, TaskState.RUNNING, TaskState.EXITED)


def engine_fault(
    fault: Fault, took: Callable[[FaultContext, object], bool], amount: float | None = None
) -> Injection:
    """Return an injection of one of the engine's own faults into one call.

    `took`: whether the fault took effect, judged by the call's answer.
    """

    def inject(context: FaultContext) -> Outcome[object]:
        engine = context.world.engine
        engine.set_faults(
            FaultPlan((FaultRule(fault, times=1, methods=frozenset({context.method}), amount=amount),))
        )
        try:
            answer = context.call()
        finally:
            engine.set_faults(None)
        context.took_effect = took(context, answer)
        return answer

    return inject


def unknown(context: FaultContext, answer: object) -> bool:
    """Return whether the answer was lost."""
    return isinstance(answer, Unknown)


def retry(context: FaultContext, answer: object) -> bool:
    """Return whether the call failed."""
    return isinstance(answer, Retry)


def refused(context: FaultContext, answer: object) -> bool:
    """Return whether the order was refused by the injected fault."""
    return isinstance(answer, Refused) and answer.code == "refused_by_fault"


def always(context: FaultContext, answer: object) -> bool:
    """Return True: the fault always takes effect."""
    return True


def not_the_truth(context: FaultContext, answer: object) -> bool:
    """Return whether a probe's answer differs from the machines' state."""
    truth = context.world.engine.cluster.probe(context.key)
    return isinstance(answer, Done) and isinstance(truth, Done) and answer.value != truth.value


def fewer_than_there_are(context: FaultContext, answer: object) -> bool:
    """Return whether a list lacks an attempt, a node or a device."""
    cluster = context.world.engine.cluster
    truth: object = cluster.scan() if context.method == "scan" else cluster.nodes()
    if not isinstance(answer, Done) or not isinstance(truth, Done):
        return False
    if context.method == "scan":
        return len(answer.value) < len(truth.value)
    return sum(len(node.devices) + 1 for node in answer.value) < sum(len(n.devices) + 1 for n in truth.value)


def half_a_gang(context: FaultContext, answer: object) -> bool:
    """Return whether a gang was started, of which only half runs."""
    return isinstance(answer, Done) and len(context.subject.tasks) > 1


def request_delayed(context: FaultContext) -> Outcome[object]:
    """The request arrives 1 to 120 s later, after later ones."""
    assert context.act is not None
    due_s = context.world.time.elapsed_ns() / 1e9 + context.world.luck.between(1, 120)
    context.world.in_flight.delay(due_s, context.method, context.key, context.act)
    context.took_effect = True
    return Unknown(text("The engine gave no answer"))


def report_reordered(context: FaultContext) -> Outcome[object]:
    """An older report arrives after newer ones."""
    answer = context.call()
    reports: list[AttemptReport] = context.world.in_flight.reports.get(context.key, [])
    if not isinstance(answer, Done) or not isinstance(answer.value, AttemptReport) or not reports:
        return answer
    old = context.world.luck.pick(reports)
    context.took_effect = _STEPS.index(old.state) < _STEPS.index(answer.value.state)
    return Done(old)


def events_lost(context: FaultContext) -> Outcome[object]:
    """An observation says that nothing changed, and its cursor passes what did."""
    answer = context.call()
    seen = answer.value if isinstance(answer, Done) else None
    if not isinstance(seen, Observation) or not (seen.reports or seen.gone):
        return answer
    context.took_effect = True
    context.world.in_flight.misreported.update(report.attempt_id for report in seen.reports)
    return Done(replace(seen, reports=(), gone=(), is_complete=False))


def log_missing(context: FaultContext) -> Outcome[object]:
    """The log of an attempt is missing."""
    context.took_effect = True
    return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=context.key))


def outputs_unlisted(context: FaultContext) -> Outcome[object]:
    """The engine fails to list an attempt's outputs."""
    context.took_effect = True
    return Retry(5.0, text("The engine gave no answer"))


def outputs_unreadable(context: FaultContext) -> Outcome[object]:
    """An output file of an attempt cannot be read."""
    context.took_effect = True
    return Refused("no_such_output", text("The engine gave no answer"))


def artefact_store_full(context: FaultContext) -> Outcome[object]:
    """The disk of the artefact store is full: writing the output that is read here fails."""
    context.took_effect = True
    raise OSError(28, "No space left on device")


def prepare_fails(context: FaultContext) -> Outcome[object]:
    """A source cannot be fetched."""
    answer = context.call()
    if context.subject.purpose == "job" or not isinstance(answer, Done):
        return answer
    _change_timeline(context, context.key, lambda timeline, now_us: _exits(timeline, now_us + US_PER_S, 1))
    return answer


def task_killed(context: FaultContext) -> None:
    """A task exceeds its memory limit and is killed."""
    for attempt in _running(context):
        _change_timeline(context, attempt, _out_of_memory)


def task_exits(context: FaultContext) -> None:
    """A task ends by itself, earlier than its timeline says."""
    code = context.world.luck.pick((0, 1, 1, 137))
    for attempt in _running(context):
        _change_timeline(context, attempt, lambda timeline, now_us: _exits(timeline, now_us, code))


def stuck_start(context: FaultContext) -> None:
    """The engine accepts an attempt and never runs it."""
    for attempt in _living(context, lambda timeline, now_us: now_us < timeline.starts_us):
        _change_timeline(
            context,
            attempt,
            lambda timeline, now_us: replace(timeline, starts_us=NEVER_US, ends_us=NEVER_US + 1),
        )


def stuck_stop(context: FaultContext) -> Outcome[object]:
    """An attempt takes 30 to 200 s longer to end after a stop request."""
    answer = context.call()
    wait_us = int(context.world.luck.between(30, 200) * US_PER_S)

    def late(timeline: AttemptTimeline, now_us: int) -> AttemptTimeline:
        return replace(timeline, ends_us=max(timeline.ends_us, now_us) + wait_us)

    if context.key in _all_living(context, lambda timeline, now_us: timeline.starts_us <= now_us):
        _change_timeline(context, context.key, late)
    return answer


def device_fails(context: FaultContext) -> None:
    """A device breaks; attempts on it are lost."""
    node = context.world.luck.pick(context.world.nodes)
    if node.devices:
        index = context.world.luck.pick(node.devices).index
        context.world.engine.cluster.break_device(node.name, index)
        context.world.repair_later(context.world.luck.between(5, 60))
        context.took_effect = True


def node_gone(context: FaultContext) -> None:
    """A machine fails; attempts on it are lost."""
    context.world.engine.cluster.break_node(context.world.luck.pick(context.world.nodes).name)
    context.world.repair_later(context.world.luck.between(5, 60))
    context.took_effect = True


def engine_forgets(context: FaultContext) -> None:
    """The engine loses all records of an attempt, running or not."""
    for attempt in _living(context, lambda timeline, now_us: True):
        context.world.engine.cluster.vanish(attempt)
        context.world.in_flight.forgotten.add(attempt)
        context.took_effect = True


def _living(context: FaultContext, wanted: Callable[[AttemptTimeline, int], bool]) -> list[str]:
    """Return a list with one random living attempt that satisfies `wanted`, or [] if there is none."""
    attempts = _all_living(context, wanted)
    return [context.world.luck.pick(attempts)] if attempts else []


def _all_living(context: FaultContext, wanted: Callable[[AttemptTimeline, int], bool]) -> list[str]:
    cluster = context.world.engine.cluster
    now_us = cluster.now_us()
    return [kept.attempt_id for kept, timeline in cluster.living() if wanted(timeline, now_us)]


def _running(context: FaultContext) -> list[str]:
    return _living(context, lambda timeline, now_us: timeline.starts_us <= now_us)


def _change_timeline(
    context: FaultContext, attempt: str, alter: Callable[[AttemptTimeline, int], AttemptTimeline]
) -> None:
    context.key = attempt
    context.took_effect = isinstance(context.world.engine.cluster.change(attempt, alter), Done)


def _exits(timeline: AttemptTimeline, at_us: int, code: int) -> AttemptTimeline:
    return replace(
        timeline,
        ends_us=max(at_us, timeline.accepted_us),
        reason=EndReason.EXITED,
        exit_code=code,
        signal=None,
    )


def _out_of_memory(timeline: AttemptTimeline, now_us: int) -> AttemptTimeline:
    return replace(
        timeline, ends_us=now_us, reason=EndReason.MEMORY_LIMIT, exit_code=None, signal=int(signal.SIGKILL)
    )
