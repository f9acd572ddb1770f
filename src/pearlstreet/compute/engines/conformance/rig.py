"""The engine under test, as the laws know it: how to make one over a folder, let its time pass, and order something of it."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Engine,
    Limits,
    PlacementMode,
    TaskOrder,
    TaskState,
)
from pearlstreet.compute.engines.shells import Shell

T = TypeVar("T")
LONG_S = 600.0
"""Run time in seconds that is longer than any law waits."""
_numbers = itertools.count(1)


def value_of(outcome: Outcome[T]) -> T:
    """Return what a call that must have worked answered."""
    assert isinstance(outcome, Done), outcome
    return outcome.value


class Rig(ABC):
    """An engine under test, over a folder that outlives it."""

    placement: PlacementMode = "device"
    """Parts of the place that its orders name: nodes and devices, nodes only, or neither."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shells: list[Shell] = []
        """Shells that a law opened; `clean_up` closes them."""
        self.engine: Engine = self._make()
        self.node: str = value_of(self.engine.nodes())[0].name

    @abstractmethod
    def _make(self) -> Engine:
        """Return a new engine over the same folder."""

    @abstractmethod
    def pause(self) -> None:
        """Let a little of the engine's time pass."""

    @abstractmethod
    def weaken(self) -> None:
        """Take from the node what its strongest isolation needs, as when bubblewrap is removed. Skips when it has none."""

    @abstractmethod
    def order(
        self,
        *,
        lasts_s: float = 0.2,
        exit_code: int = 0,
        tasks: int = 1,
        script: str | None = None,
        time_s: float | None = None,
        attempt_id: str | None = None,
        variables: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> AttemptOrder:
        """Return an order that runs so long and ends with that code; `script` (sh) replaces what it does."""

    def restart(self) -> Engine:
        """Close the engine and make another over the same folder, as when the server restarts."""
        self.engine.close()
        self.engine = self._make()
        return self.engine

    def start(self, **wishes: Any) -> str:
        """Start an order and return its attempt id."""
        order = self.order(**wishes)
        report: AttemptReport = value_of(self.engine.start(order))
        assert report.attempt_id == order.attempt_id
        return order.attempt_id

    def report(self, attempt_id: str) -> AttemptReport:
        """Return the report of an attempt that the engine must know."""
        report: AttemptReport | None = value_of(self.engine.probe(attempt_id))
        assert report is not None, f"{attempt_id} is not known"
        return report

    def until(self, condition: Callable[[], object], *, within_s: float = 20.0) -> None:
        """Let time pass until `condition`; fails when it does not come true."""
        deadline = time.monotonic() + within_s
        for turn in itertools.count():
            if condition():
                return
            assert time.monotonic() < deadline and turn < 20_000, "what was waited for did not happen"
            self.pause()

    def running(self, attempt_id: str) -> AttemptReport:
        """Wait until an attempt runs."""
        before = (TaskState.PENDING, TaskState.STARTING)
        self.until(lambda: self.report(attempt_id).state not in before)
        report = self.report(attempt_id)
        assert report.state is TaskState.RUNNING, report
        return report

    def ended(self, attempt_id: str) -> AttemptReport:
        """Wait until an attempt has ended."""
        self.until(lambda: self.report(attempt_id).state is TaskState.EXITED)
        return self.report(attempt_id)

    def forget(self, attempt_id: str) -> None:
        """Forget an ended attempt, as soon as the engine is through with it."""
        self.until(lambda: isinstance(self.engine.forget(attempt_id), Done))

    def log(self, attempt_id: str, rank: int = 0) -> bytes:
        """Return the whole log of one task as it is now."""
        data, offset = b"", 0
        while True:
            chunk = value_of(self.engine.read_log(attempt_id, rank, offset=offset, limit=1 << 16))
            if not chunk.data:
                return data
            data, offset = data + chunk.data, chunk.next_offset

    def task(self, rank: int, **fields: Any) -> TaskOrder:
        """Return a small task on this rig's node, or on any that the engine chooses."""
        node = "" if self.placement == "engine" else self.node
        small = TaskOrder(rank, node, cpus=0.1, memory_gib=0.25)
        return replace(small, **fields)

    def clean_up(self) -> None:
        """Stop what still runs, forget everything, close."""
        while self.shells:
            self.shells.pop().close()
        reports = value_of(self.engine.scan())
        for report in reports:
            self.engine.stop(report.attempt_id, grace_s=0)
        for report in reports:
            self.forget(report.attempt_id)
        self.engine.close()


def build_order(
    attempt_id: str | None,
    command: tuple[str, ...],
    tasks: tuple[TaskOrder, ...],
    variables: Mapping[str, str],
    time_s: float | None,
    fields: Mapping[str, Any],
) -> AttemptOrder:
    """Return an order with the usual limits and an id of its own; `fields` replace fields of the order."""
    number = next(_numbers)
    usual: dict[str, Any] = {
        "attempt_id": attempt_id or f"att_{number:026d}",
        "job_id": f"job_{number:026d}",
        "tenant_id": "org_00000000000000000000000001",
        "command": command,
        "tasks": tasks,
        "variables": variables,
        "limits": Limits(time_s=time_s, grace_s=1.0),
    }
    return AttemptOrder(**{**usual, **fields})
