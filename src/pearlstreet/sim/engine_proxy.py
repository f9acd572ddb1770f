"""Engine proxy with fault injection: every call that a simulated server makes to its engine passes through here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    CheckpointEntry,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
)
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask
from pearlstreet.sim.contracts import SimulatedServer, SimulatedWorld
from pearlstreet.sim.faults.kind import FaultContext
from pearlstreet.sim.faults.points import InjectionPoint

T = TypeVar("T")
OUTPUT = "result.txt"


class FaultyEngine:
    """The engine as one server sees it: the simulated engine behind injected faults."""

    def __init__(self, world: SimulatedWorld, server: SimulatedServer) -> None:
        self._world, self._server = world, server
        self._engine = world.engine

    @property
    def name(self) -> str:
        return self._engine.name

    def capabilities(self) -> Capabilities:
        return replace(self._engine.capabilities(), runs_code=self._world.scenario.runs_code)

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        return self._call("nodes", "", self._engine.nodes)

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        trait = "build"
        if order.purpose == "job":
            trait = "gang" if len(order.tasks) > 1 else "job"
            self._world.in_flight.jobs[order.attempt_id] = order.job_id
            self._world.checker.starts.ordered(order)
        return self._call("start", order.attempt_id, lambda: self._engine.start(order), order, trait)

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        answer = self._call("probe", attempt_id, lambda: self._engine.probe(attempt_id))
        if isinstance(answer, Done) and answer.value is not None:
            self._world.in_flight.remember_report(answer.value)
        return answer

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        return self._engine.set_drain(node, reason)

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        return self._call("scan", "", self._engine.scan)

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = self._call("observe", "", lambda: self._engine.observe(cursor))
        if not isinstance(answer, Done):
            return answer
        reports, gone = [], list(answer.value.gone)
        for report in answer.value.reports:
            told = self.probe(report.attempt_id)  # what an observation reports suffers what a probe does
            if isinstance(told, Done) and told.value is None:
                gone.append(report.attempt_id)
            else:
                reports.append(told.value if isinstance(told, Done) and told.value is not None else report)
        return Done(replace(answer.value, reports=reports, gone=gone))

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._call("stop", attempt_id, lambda: self._engine.stop(attempt_id, grace_s=grace_s))

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self._call("drain", attempt_id, lambda: self._engine.drain(attempt_id, grace_s=grace_s))

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        def act() -> Outcome[LogChunk]:
            return self._engine.read_log(attempt_id, rank, offset=offset, limit=limit)

        return self._call("read_log", attempt_id, act)

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        return self._call(
            "read_metrics", attempt_id, lambda: self._engine.read_metrics(attempt_id, since_us=since_us)
        )

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        def act() -> Outcome[Sequence[OutputFile]]:
            answer = self._engine.list_outputs(attempt_id)
            if not isinstance(answer, Done) or not leaves_output(attempt_id):
                return answer
            return Done((OutputFile(OUTPUT, len(attempt_id)),))

        return self._call("list_outputs", attempt_id, act)

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        def act() -> Outcome[bytes]:
            return Done(attempt_id.encode()[offset : offset + limit])

        return self._call("read_output", attempt_id, act)

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        return self._engine.start_stager(task)

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        return self._engine.stager_report(task)

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        return self._call("delete_work", attempt_id, lambda: self._engine.delete_work(attempt_id))

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        return self._engine.checkpoint_sizes()

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        return self._engine.list_checkpoint(key)

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        return self._engine.delete_checkpoint(key)

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        return self._engine.open_shell(attempt_id, rank, shell_id, order)

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        return self._engine.log_sizes()

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        return self._engine.trim_log(attempt_id, size_bytes=size_bytes)

    def forget(self, attempt_id: str) -> Outcome[None]:
        self._world.in_flight.forgotten.add(attempt_id)
        return self._call("forget", attempt_id, lambda: self._engine.forget(attempt_id))

    def close(self) -> None:
        """Do nothing: the machines continue without a server."""

    def _call(
        self, method: str, key: str, act: Callable[[], Outcome[T]], subject: object = None, trait: str = ""
    ) -> Outcome[T]:
        world = self._world
        world.interleave(self._server)
        kind = world.faults.draw(InjectionPoint.ENGINE, method, trait)
        if kind is None:
            answer = act()
        else:
            context = FaultContext(world, self._server, method, key, act, subject)
            answer = world.faults.inject(kind, context)
            if method == "probe" and context.took_effect:
                world.in_flight.misreported.add(key)
        if method in ("start", "stop", "forget"):
            world.note(self._server.name, f"{method} {key}: {type(answer).__name__}")
        world.interleave(self._server)
        return answer


def leaves_output(attempt_id: str) -> bool:
    """Return whether the attempt leaves an output file: 100 of 256 do, decided by the id."""
    return hashlib.blake2b(attempt_id.encode(), digest_size=1).digest()[0] < 100
