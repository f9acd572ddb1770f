"""Engines that behave badly in one way each. Every one wraps a real engine and keeps its promises otherwise."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pearlstreet.base.clock import Clock
from pearlstreet.base.outcome import Done, Outcome, Retry, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    CheckpointEntry,
    Engine,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
    TaskReport,
    TaskState,
)
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask

T = TypeVar("T")
ACTS = frozenset({"start", "stop", "forget"})
ALL = ACTS | {
    "nodes",
    "probe",
    "scan",
    "observe",
    "read_log",
    "read_metrics",
    "list_outputs",
    "read_output",
    "start_stager",
    "stager_report",
}


class Wrapped:
    """Passes every call on to `inner` through `_call`, counts them, and is an engine itself."""

    def __init__(self, inner: Engine, *, methods: Collection[str] = ALL) -> None:
        self.inner = inner
        self.methods = frozenset(methods)
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.inner.name

    def capabilities(self) -> Capabilities:
        return self.inner.capabilities()

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        return self._count("nodes", self.inner.nodes)

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        return self.inner.set_drain(node, reason)

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        return self._count("start", lambda: self.inner.start(order))

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        return self._count("probe", lambda: self.inner.probe(attempt_id))

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        return self._count("scan", self.inner.scan)

    def observe(self, cursor: str) -> Outcome[Observation]:
        return self._count("observe", lambda: self.inner.observe(cursor))

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._count("stop", lambda: self.inner.stop(attempt_id, grace_s=grace_s))

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._count("drain", lambda: self.inner.drain(attempt_id, grace_s=grace_s))

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        return self._count(
            "read_log", lambda: self.inner.read_log(attempt_id, rank, offset=offset, limit=limit)
        )

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        return self._count("read_metrics", lambda: self.inner.read_metrics(attempt_id, since_us=since_us))

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        return self._count("list_outputs", lambda: self.inner.list_outputs(attempt_id))

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        return self._count(
            "read_output", lambda: self.inner.read_output(attempt_id, path, offset=offset, limit=limit)
        )

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        return self._count("start_stager", lambda: self.inner.start_stager(task))

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        return self._count("stager_report", lambda: self.inner.stager_report(task))

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        return self.inner.delete_work(attempt_id)

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        return self.inner.checkpoint_sizes()

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        return self.inner.list_checkpoint(key)

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        return self.inner.delete_checkpoint(key)

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        return self.inner.open_shell(attempt_id, rank, shell_id, order)

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        return self.inner.log_sizes()

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        return self.inner.trim_log(attempt_id, size_bytes=size_bytes)

    def forget(self, attempt_id: str) -> Outcome[None]:
        return self._count("forget", lambda: self.inner.forget(attempt_id))

    def close(self) -> None:
        self.inner.close()

    def _count(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        with self._lock:
            self.calls[method] += 1
        return self._call(method, act) if method in self.methods else act()

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        return act()


class Slow(Wrapped):
    """Every call takes `seconds` of `clock` before it is done."""

    def __init__(
        self, inner: Engine, clock: Clock, seconds: float, *, methods: Collection[str] = ALL
    ) -> None:
        super().__init__(inner, methods=methods)
        self._clock, self._seconds = clock, seconds

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        self._clock.sleep(self._seconds)
        return act()


class Never(Wrapped):
    """Nothing arrives and nothing is done; all it says is Unknown."""

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        return Unknown(text("The engine gave no answer"))


class Flaky(Wrapped):
    """The first `failures` calls of each method fail with Retry and do nothing; after that it works."""

    def __init__(self, inner: Engine, failures: int, *, methods: Collection[str] = ALL) -> None:
        super().__init__(inner, methods=methods)
        self._failures = failures

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        if self.calls[method] <= self._failures:
            return Retry(0.01, text("The engine gave no answer"))
        return act()


class LosesAcks(Wrapped):
    """The first `times` calls of each method are done, but the answer is lost: Unknown. None: all of them."""

    def __init__(self, inner: Engine, times: int | None = 1, *, methods: Collection[str] = ACTS) -> None:
        super().__init__(inner, methods=methods)
        self._times = times

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        answer = act()
        if self._times is None or self.calls[method] <= self._times:
            return Unknown(text("The engine gave no answer"))
        return answer


class LosesRequests(Wrapped):
    """The first `times` calls of each method never arrive: Unknown, and nothing is done."""

    def __init__(self, inner: Engine, times: int = 1, *, methods: Collection[str] = ACTS) -> None:
        super().__init__(inner, methods=methods)
        self._times = times

    def _call(self, method: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        if self.calls[method] <= self._times:
            return Unknown(text("The engine gave no answer"))
        return act()


class LiesAboutState(Wrapped):
    """Every attempt it knows is reported in `state`, whatever is true, while `lying`."""

    def __init__(self, inner: Engine, state: TaskState) -> None:
        super().__init__(inner)
        self.state = state
        self.lying = True

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        answer = super().probe(attempt_id)
        if isinstance(answer, Done) and answer.value is not None:
            return Done(self._lie(answer.value))
        return answer

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        answer = super().scan()
        return Done([self._lie(report) for report in answer.value]) if isinstance(answer, Done) else answer

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = super().observe(cursor)
        if not isinstance(answer, Done):
            return answer
        return Done(replace(answer.value, reports=[self._lie(report) for report in answer.value.reports]))

    def _lie(self, report: AttemptReport) -> AttemptReport:
        if not self.lying or report.state is self.state:
            return report
        tasks = tuple(TaskReport(task.rank, self.state, started_us=task.started_us) for task in report.tasks)
        return replace(
            report,
            state=self.state,
            tasks=tasks,
            ended_us=None,
            end_reason=None,
            exit_code=None,
            message=None,
        )


class Forgets(Wrapped):
    """Claims never to have started the attempts in `forgotten`; they go on running all the same."""

    def __init__(self, inner: Engine, forgotten: Collection[str] = ()) -> None:
        super().__init__(inner)
        self.forgotten: set[str] = set(forgotten)

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        answer = super().probe(attempt_id)
        return Done(None) if attempt_id in self.forgotten else answer

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        answer = super().scan()
        if not isinstance(answer, Done):
            return answer
        return Done([report for report in answer.value if report.attempt_id not in self.forgotten])

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = super().observe("")
        if not isinstance(answer, Done):
            return answer
        told = [report for report in answer.value.reports if report.attempt_id not in self.forgotten]
        return Done(replace(answer.value, reports=told))


def value_of(outcome: Outcome[Any]) -> Any:
    """What a call that must have worked answered."""
    assert isinstance(outcome, Done), outcome
    return outcome.value
