"""Faults on the line to the engine and of its machines. Where the simulated engine has the fault itself, it is asked."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskState
from pearlstreet.compute.engines.simulated import Fault, FaultPlan, FaultRule
from pearlstreet.compute.engines.simulated.course import NEVER_US, Course
from pearlstreet.sim.faults.kind import Moment

Strike = Callable[[Moment], Outcome[Any]]
_STEPS = (TaskState.STARTING, TaskState.RUNNING, TaskState.EXITED)


def asked_of_engine(fault: Fault, took: Callable[[Moment, Any], bool], amount: float | None = None) -> Strike:
    """The engine's own fault, for this one call. `took` says by its answer whether anything went wrong."""

    def strike(moment: Moment) -> Outcome[Any]:
        engine = moment.world.engine
        engine.set_faults(
            FaultPlan((FaultRule(fault, times=1, methods=frozenset({moment.method}), amount=amount),))
        )
        try:
            answer = moment.call()
        finally:
            engine.set_faults(None)
        moment.struck = took(moment, answer)
        return answer

    return strike


def unknown(moment: Moment, answer: Any) -> bool:
    """The answer was lost."""
    return isinstance(answer, Unknown)


def retry(moment: Moment, answer: Any) -> bool:
    """The call failed."""
    return isinstance(answer, Retry)


def refused(moment: Moment, answer: Any) -> bool:
    """The order was refused for no good reason."""
    return isinstance(answer, Refused) and answer.code == "refused_by_fault"


def always(moment: Moment, answer: Any) -> bool:
    """It cannot fail to take effect."""
    return True


def not_the_truth(moment: Moment, answer: Any) -> bool:
    """A probe's answer is not what the machines say."""
    truth = moment.world.engine.cluster.probe(moment.key)
    return isinstance(answer, Done) and isinstance(truth, Done) and answer.value != truth.value


def fewer_than_there_are(moment: Moment, answer: Any) -> bool:
    """A list lacks something."""
    cluster = moment.world.engine.cluster
    truth: Any = cluster.scan() if moment.method == "scan" else cluster.nodes()
    if not isinstance(answer, Done) or not isinstance(truth, Done):
        return False
    if moment.method == "scan":
        return len(answer.value) < len(truth.value)
    return sum(len(node.devices) + 1 for node in answer.value) < sum(len(n.devices) + 1 for n in truth.value)


def half_a_gang(moment: Moment, answer: Any) -> bool:
    """A gang was started, and only half of it runs."""
    return isinstance(answer, Done) and len(moment.subject.tasks) > 1


def request_delayed(moment: Moment) -> Outcome[Any]:
    """The request is on its way for a while: it arrives when others have long been answered."""
    assert moment.act is not None
    due_s = moment.world.time.elapsed_ns() / 1e9 + moment.world.luck.between(1, 120)
    moment.world.wire.delay(due_s, moment.method, moment.key, moment.act)
    moment.struck = True
    return Unknown(text("The engine gave no answer"))


def report_reordered(moment: Moment) -> Outcome[Any]:
    """A report that was overtaken by later ones arrives now."""
    answer = moment.call()
    told: list[AttemptReport] = moment.world.wire.told.get(moment.key, [])
    if not isinstance(answer, Done) or answer.value is None or not told:
        return answer
    old = moment.world.luck.pick(told)
    moment.struck = _STEPS.index(old.state) < _STEPS.index(answer.value.state)
    return Done(old)


def log_missing(moment: Moment) -> Outcome[Any]:
    """What an attempt wrote is not there."""
    moment.struck = True
    return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=moment.key))


def outputs_unlisted(moment: Moment) -> Outcome[Any]:
    """The engine does not say what an attempt left."""
    moment.struck = True
    return Retry(5.0, text("The engine gave no answer"))


def outputs_unreadable(moment: Moment) -> Outcome[Any]:
    """A file that an attempt left cannot be read."""
    moment.struck = True
    return Refused("no_such_output", text("The engine gave no answer"))


def artefact_store_full(moment: Moment) -> Outcome[Any]:
    """No room is left where artefacts are kept: the write of what is read here fails."""
    moment.struck = True
    raise OSError(28, "No space left on device")


def prepare_fails(moment: Moment) -> Outcome[Any]:
    """A source cannot be fetched."""
    answer = moment.call()
    if moment.subject.purpose == "job" or not isinstance(answer, Done):
        return answer
    _bend(moment, moment.key, lambda course, now_us: _exits(course, now_us + US_PER_S, 1))
    return answer


def task_killed(moment: Moment) -> None:
    """A task needs more memory than it was given."""
    for attempt in _running(moment):
        _bend(moment, attempt, _out_of_memory)


def task_exits(moment: Moment) -> None:
    """A task ends by itself, long before its time."""
    code = moment.world.luck.pick((0, 1, 1, 137))
    for attempt in _running(moment):
        _bend(moment, attempt, lambda course, now_us: _exits(course, now_us, code))


def stuck_start(moment: Moment) -> None:
    """The machines took an attempt and never get to run it."""
    for attempt in _living(moment, lambda course, now_us: now_us < course.starts_us):
        _bend(
            moment, attempt, lambda course, now_us: replace(course, starts_us=NEVER_US, ends_us=NEVER_US + 1)
        )


def stuck_stop(moment: Moment) -> Outcome[Any]:
    """An attempt that is asked to stop takes very long to die."""
    answer = moment.call()
    wait_us = int(moment.world.luck.between(30, 200) * US_PER_S)

    def late(course: Course, now_us: int) -> Course:
        return replace(course, ends_us=max(course.ends_us, now_us) + wait_us)

    if moment.key in _all_living(moment, lambda course, now_us: course.starts_us <= now_us):
        _bend(moment, moment.key, late)
    return answer


def device_fails(moment: Moment) -> None:
    """A device breaks; what ran on it is lost."""
    node = moment.world.luck.pick(moment.world.nodes)
    if node.devices:
        index = moment.world.luck.pick(node.devices).index
        moment.world.engine.cluster.break_device(node.name, index)
        moment.world.repair_later(moment.world.luck.between(5, 60))
        moment.struck = True


def node_gone(moment: Moment) -> None:
    """A machine fails with all that runs on it."""
    moment.world.engine.cluster.break_node(moment.world.luck.pick(moment.world.nodes).name)
    moment.world.repair_later(moment.world.luck.between(5, 60))
    moment.struck = True


def engine_forgets(moment: Moment) -> None:
    """The engine loses every trace of an attempt, running or not."""
    for attempt in _living(moment, lambda course, now_us: True):
        moment.world.engine.cluster.vanish(attempt)
        moment.world.wire.forgotten.add(attempt)
        moment.struck = True


def _living(moment: Moment, wanted: Callable[[Course, int], bool]) -> list[str]:
    """One attempt on the machines that is as wanted, or none."""
    found = _all_living(moment, wanted)
    return [moment.world.luck.pick(found)] if found else []


def _all_living(moment: Moment, wanted: Callable[[Course, int], bool]) -> list[str]:
    cluster = moment.world.engine.cluster
    now_us = cluster.now_us()
    return [kept.attempt_id for kept, course in cluster.living() if wanted(course, now_us)]


def _running(moment: Moment) -> list[str]:
    return _living(moment, lambda course, now_us: course.starts_us <= now_us)


def _bend(moment: Moment, attempt: str, bend: Callable[[Course, int], Course]) -> None:
    moment.key = attempt
    moment.struck = isinstance(moment.world.engine.cluster.change(attempt, bend), Done)


def _exits(course: Course, at_us: int, code: int) -> Course:
    return replace(
        course, ends_us=max(at_us, course.accepted_us), reason=EndReason.EXITED, exit_code=code, signal=None
    )


def _out_of_memory(course: Course, now_us: int) -> Course:
    return replace(
        course, ends_us=now_us, reason=EndReason.MEMORY_LIMIT, exit_code=None, signal=int(signal.SIGKILL)
    )
