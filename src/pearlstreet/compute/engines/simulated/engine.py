"""The simulated engine: a simulated cluster with fault injection in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.errors import check
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    CheckpointEntry,
    DeviceGrant,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
    PlacementMode,
    TaskOrder,
    TaskReport,
    TaskState,
)
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.simulated.attempt_timeline import Habits
from pearlstreet.compute.engines.simulated.cluster import Cluster
from pearlstreet.compute.engines.simulated.faults import Fault, FaultBook, FaultPlan, FaultRule
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask
from pearlstreet.compute.hardware.health_rules import THROTTLED

T = TypeVar("T")
_RETRY_S = 1.0
_STEPS = (TaskState.PENDING, TaskState.STARTING, TaskState.RUNNING, TaskState.EXITED)
_LYING = (
    Fault.WRONG_STATE,
    Fault.STATE_BACKWARDS,
    Fault.ATTEMPT_VANISHES,
    Fault.CLOCK_OFF,
)


class SimulatedEngine:
    """Simulation of any hardware in virtual or real time; implements `Engine`.

    The cluster runs `time_scale` times faster than the clock: every duration (run, limit, grace) is divided by it. With
    `state_path` attempts survive the process and continue while no server runs.
    """

    def __init__(
        self,
        nodes: Sequence[NodeReport],
        *,
        name: str = "simulated",
        clock: Clock,
        rng: Rng,
        time_scale: float = 1.0,
        faults: FaultPlan | None = None,
        habits: Habits | None = None,
        state_path: Path | None = None,
        placement: PlacementMode = "device",
        submit_window: int | None = None,
    ) -> None:
        """Raises ConfigurationError when `state_path` cannot be read or another engine holds it."""
        check(time_scale > 0, "time_scale > 0", time_scale=time_scale)
        self._name = name
        self.cluster = Cluster(
            nodes,
            clock=clock,
            rng=rng,
            time_scale=time_scale,
            habits=habits,
            state_path=state_path,
            placement=placement,
            submit_window=submit_window,
        )
        self._clock = clock
        self._random = KeyedRandom(self.cluster.random.seed + b"faults")
        self._burst_left = 0
        self._orphans = 0
        self._reported: dict[str, TaskState] = {}
        self._last_scan: Sequence[AttemptReport] = ()
        self._faults = FaultBook(faults or FaultPlan(), self._random, self.cluster.now_us())

    @property
    def name(self) -> str:
        return self._name

    def set_faults(self, plan: FaultPlan | None) -> None:
        """Replace the active faults; None: no faults. Broken parts stay broken until `cluster.repair()`."""
        self._burst_left = 0
        self._faults = FaultBook(plan or FaultPlan(), self._random, self.cluster.now_us())

    def capabilities(self) -> Capabilities:
        return self.cluster.capabilities()

    def checks(self) -> Sequence[EngineCheck]:
        """Return the checks: a simulated cluster only has to be simulated without injected faults to be as it says."""
        title = text("Simulated cluster")
        if not self._faults.plan.rules:
            return [EngineCheck("faults", title)]
        problem = text(
            "It injects faults, as its settings say: {faults}",
            faults=", ".join(rule.fault for rule in self._faults.plan.rules),
        )
        return [EngineCheck("faults", title, problem, text("Remove faults from its settings to end them"))]

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        for node in self._faulty_nodes(Fault.DEVICE_FAILS):
            if node.devices:
                which = int(self._random.uniform("device", node.name) * len(node.devices))
                self.cluster.break_device(node.name, node.devices[which].index)
        self._count_errors()
        answer = self._call("nodes", "", self.cluster.nodes)
        if not isinstance(answer, Done) or not self._faults.has(Fault.NODE_FLAPS, Fault.DEVICES_SHRINK):
            return answer
        return Done([seen for node in answer.value if (seen := self._faulty_view(node)) is not None])

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        return self._call("set_drain", "", lambda: self.cluster.set_drain(node, reason))

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        def act() -> Outcome[AttemptReport]:
            if len(order.tasks) > 1 and self._draw_fault(Fault.PARTIAL_GANG, "start", order.attempt_id):
                return self.cluster.start_partly(order)
            return self.cluster.start(order)

        # An engine reports an attempt that it knows, even if it would now refuse the request to start it.
        is_new = self.cluster.probe(order.attempt_id) == Done(None)
        if is_new and self._draw_fault(Fault.REFUSES, "start", order.attempt_id):
            return Refused("refused_by_fault", text("The simulated engine refuses, as it was told to"))
        return self._call("start", order.attempt_id, act)

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        answer = self._call("probe", attempt_id, lambda: self.cluster.probe(attempt_id))
        if isinstance(answer, Done) and answer.value is not None and self._faults.has(*_LYING):
            return Done(self._distort("probe", answer.value))
        return answer

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        if self._draw_fault(Fault.ORPHAN_APPEARS, "scan"):
            self._start_orphan()
        if self._draw_fault(Fault.SCAN_STALE, "scan"):
            return Done(self._last_scan)
        answer = self._call("scan", "", self.cluster.scan)
        if not isinstance(answer, Done):
            return answer
        reports = answer.value
        if self._faults.has(*_LYING):
            reports = [seen for report in reports if (seen := self._distort("scan", report)) is not None]
        if self._draw_fault(Fault.SCAN_TRUNCATED, "scan"):
            reports = reports[: len(reports) // 2]
        self._last_scan = reports
        return Done(reports)

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = self._call("observe", "", lambda: self.cluster.observe(cursor))
        if not isinstance(answer, Done) or not self._faults.has(Fault.EVENTS_LOST, *_LYING):
            return answer
        seen = answer.value
        if seen.reports and self._draw_fault(Fault.EVENTS_LOST, "observe"):
            return Done(replace(seen, reports=(), gone=(), is_complete=False))
        told = {report.attempt_id: self._distort("observe", report) for report in seen.reports}
        vanished = [attempt_id for attempt_id, report in told.items() if report is None]
        reports = tuple(report for report in told.values() if report is not None)
        return Done(replace(seen, reports=reports, gone=(*seen.gone, *vanished)))

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._call("stop", attempt_id, lambda: self.cluster.stop(attempt_id, grace_s=grace_s))

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._call("drain", attempt_id, lambda: self.cluster.drain(attempt_id, grace_s=grace_s))

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        rule = self._draw_fault(Fault.LOG_REPEATS, "read_log", attempt_id)
        if rule is not None:
            offset = max(0, offset - int(rule.size))
        return self._call(
            "read_log",
            attempt_id,
            lambda: self.cluster.read_log(attempt_id, rank, offset=offset, limit=limit),
        )

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        return self._call(
            "read_metrics", attempt_id, lambda: self.cluster.read_metrics(attempt_id, since_us=since_us)
        )

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        return self._call("list_outputs", attempt_id, lambda: self.cluster.list_outputs(attempt_id))

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        return self._call(
            "read_output",
            attempt_id,
            lambda: self.cluster.read_output(attempt_id, path, offset=offset, limit=limit),
        )

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        return Refused("no_stager", text("A simulated machine has no files"))

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        return Done(StagerReport("absent"))

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        return Done(None)  # a simulated attempt leaves no files

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        return Done({})  # a simulated attempt saves nothing

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        return Done(())

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        return Done(None)

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        return Refused("no_shells", text("A simulated task runs no commands"))

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        return Done({})  # pretended logs are made when they are read

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        return Done(0)

    def forget(self, attempt_id: str) -> Outcome[None]:
        return self._call("forget", attempt_id, lambda: self.cluster.forget(attempt_id))

    def close(self) -> None:
        self.cluster.close()

    def _draw_fault(self, fault: Fault, method: str, key: str = "") -> FaultRule | None:
        if not self._faults.plan.rules:
            return None
        return self._faults.draw(fault, method, key, self.cluster.now_us())

    def _call(self, method: str, key: str, act: Callable[[], Outcome[T]]) -> Outcome[T]:
        """Send one request to the cluster and inject faults of the connection."""
        if not self._faults.plan.rules:
            return act()
        if (slow := self._draw_fault(Fault.SLOW, method, key)) is not None:
            self._clock.sleep(slow.size)
        if self._burst_left <= 0 and (burst := self._draw_fault(Fault.ERRORS, method, key)) is not None:
            self._burst_left = int(burst.size)
        if self._burst_left > 0:
            self._burst_left -= 1
            return Retry(_RETRY_S, text("The simulated engine fails, as it was told to"))
        if self._draw_fault(Fault.REQUEST_LOST, method, key):
            return Unknown(text("The engine gave no answer"))
        answer = act()
        if self._draw_fault(Fault.DONE_TWICE, method, key):
            answer = act()
        if self._draw_fault(Fault.ACK_LOST, method, key):
            return Unknown(text("The engine gave no answer"))
        return answer

    def _distort(self, method: str, report: AttemptReport) -> AttemptReport | None:
        attempt = report.attempt_id
        if self._draw_fault(Fault.ATTEMPT_VANISHES, method, attempt):
            self.cluster.vanish(attempt)
            return None
        reported = self._reported.get(attempt, TaskState.STARTING)
        self._reported[attempt] = max(reported, report.state, key=_STEPS.index)
        if self._draw_fault(Fault.WRONG_STATE, method, attempt):
            return _claim(report, TaskState.STARTING)
        if reported in (TaskState.RUNNING, TaskState.EXITED) and self._draw_fault(
            Fault.STATE_BACKWARDS, method, attempt
        ):
            return _claim(report, _STEPS[_STEPS.index(reported) - 1])
        rule = self._draw_fault(Fault.CLOCK_OFF, method, attempt)
        return _shift(report, int(rule.size * US_PER_S)) if rule else report

    def _faulty_nodes(self, fault: Fault) -> list[NodeReport]:
        if not self._faults.has(fault):
            return []
        answer = self.cluster.nodes()
        check(isinstance(answer, Done), "the cluster always knows its nodes")
        nodes = answer.value if isinstance(answer, Done) else ()
        return [node for node in nodes if self._draw_fault(fault, "nodes", node.name)]

    def _count_errors(self) -> None:
        """Raise error counters of devices, as active faults say."""
        if not self._faults.has(Fault.DEVICE_ERRORS, Fault.DEVICE_THROTTLES):
            return
        answer = self.cluster.nodes()
        for node in answer.value if isinstance(answer, Done) else ():
            if not node.devices:
                continue
            device = node.devices[int(self._random.uniform("errors", node.name) * len(node.devices))]
            if rule := self._draw_fault(Fault.DEVICE_ERRORS, "nodes", node.name):
                self.cluster.add_errors(node.name, device.index, "ecc_uncorrected", rule.size)
            if self._draw_fault(Fault.DEVICE_THROTTLES, "nodes", node.name):
                is_on = device.counters.get(THROTTLED, 0.0) > 0
                self.cluster.add_errors(node.name, device.index, THROTTLED, -1.0 if is_on else 1.0)

    def _faulty_view(self, node: NodeReport) -> NodeReport | None:
        if self._draw_fault(Fault.NODE_FLAPS, "nodes", node.name):
            return None
        rule = self._draw_fault(Fault.DEVICES_SHRINK, "nodes", node.name)
        if rule is None:
            return node
        return replace(node, devices=node.devices[: max(0, len(node.devices) - int(rule.size))])

    def _start_orphan(self) -> None:
        answer = self.cluster.nodes()
        if not isinstance(answer, Done) or not answer.value:
            return
        self._orphans += 1
        number = f"{int(self._random.uniform('orphan', self._orphans, self.cluster.now_us()) * 2**50):013x}"
        node = answer.value[int(self._random.uniform("orphan on", number) * len(answer.value))]
        task = TaskOrder(0, node.name, 1, 1, tuple(DeviceGrant(device.index) for device in node.devices[:1]))
        order = AttemptOrder(f"att_0rphan{number}", "job_unknown", "org_unknown", ("orphan",), (task,))
        self.cluster.start(order)


def _claim(report: AttemptReport, state: TaskState) -> AttemptReport:
    """Return the report as it would be in an earlier state."""
    starting = state is TaskState.STARTING
    tasks = tuple(
        TaskReport(task.rank, state, started_us=None if starting else task.started_us)
        for task in report.tasks
    )
    return replace(
        report,
        state=state,
        tasks=tasks,
        started_us=None if starting else report.started_us,
        ended_us=None,
        end_reason=None,
        exit_code=None,
        message=None,
    )


def _shift(report: AttemptReport, by_us: int) -> AttemptReport:
    def moved(us: int | None) -> int | None:
        return None if us is None else us + by_us

    tasks = tuple(
        replace(task, started_us=moved(task.started_us), ended_us=moved(task.ended_us))
        for task in report.tasks
    )
    return replace(report, tasks=tasks, started_us=moved(report.started_us), ended_us=moved(report.ended_us))
