"""A local engine over a folder, with a small machine, and ways to wait for what it does."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.engines_present import has_bubblewrap, need
from tests.fakes.engines import value_of

from pearlstreet.base.clock import SystemClock
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Limits,
    NodeReport,
    TaskOrder,
    TaskState,
)

NODE = NodeReport("here", cpus=8.0, memory_gib=16.0, disk_gib=100.0)
_numbers = itertools.count(1)


def make_local_engine(folder: Path, **policy: Any) -> LocalEngine:
    """An engine whose machine is NODE, whatever this one has."""
    return LocalEngine(
        folder / "engine", clock=SystemClock(), probe=lambda: NODE, policy=SandboxPolicy(**policy)
    )


class Bench:
    """One engine, what it is told and what it answers."""

    def __init__(self, folder: Path, **policy: Any) -> None:
        if policy.get("sandbox") == "bubblewrap":
            need(has_bubblewrap(), "bubblewrap")
        self.folder, self.policy = folder, policy
        self.engine = make_local_engine(folder, **policy)

    def restart(self) -> LocalEngine:
        """What a server does that comes back."""
        self.engine.close()
        self.engine = make_local_engine(self.folder, **self.policy)
        return self.engine

    def order(
        self,
        script: str,
        *,
        tasks: int | tuple[TaskOrder, ...] = 1,
        memory_gib: float = 0.25,
        variables: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        **fields: Any,
    ) -> AttemptOrder:
        """An order for a shell script."""
        usual: dict[str, Any] = {
            "attempt_id": f"att_{next(_numbers):026d}",
            "job_id": "job_00000000000000000000000001",
            "tenant_id": "org_00000000000000000000000001",
            "command": ("/bin/sh", "-c", script),
            "tasks": tasks
            if isinstance(tasks, tuple)
            else tuple(TaskOrder(rank, NODE.name, 1.0, memory_gib) for rank in range(tasks)),
            "variables": variables or {},
            "limits": limits or Limits(time_s=60, grace_s=1.0, disk_gib=1.0),
        }
        return AttemptOrder(**{**usual, **fields})

    def start(self, script: str, **wishes: Any) -> str:
        """Start a script; its attempt id."""
        order = self.order(script, **wishes)
        value_of(self.engine.start(order))
        return order.attempt_id

    def run(self, script: str, **wishes: Any) -> tuple[AttemptReport, str]:
        """Run a script to its end; its report and log."""
        attempt_id = self.start(script, **wishes)
        return self.ended(attempt_id), self.log(attempt_id)

    def python(self, program: str, **wishes: Any) -> tuple[AttemptReport, str]:
        """Run a Python program to its end."""
        return self.run('exec python3 -c "$PROGRAM"', variables={"PROGRAM": program}, **wishes)

    def report(self, attempt_id: str) -> AttemptReport:
        """What the engine says of a known attempt."""
        report: AttemptReport | None = value_of(self.engine.probe(attempt_id))
        assert report is not None
        return report

    def ended(self, attempt_id: str, within_s: float = 30.0) -> AttemptReport:
        """Wait for the end."""
        until(lambda: self.report(attempt_id).state is TaskState.EXITED, within_s)
        return self.report(attempt_id)

    def log(self, attempt_id: str, rank: int = 0) -> str:
        """The kept log of one task."""
        data, offset = b"", 0
        while True:
            chunk = value_of(self.engine.read_log(attempt_id, rank, offset=offset, limit=1 << 20))
            if not chunk.data:
                return data.decode("utf-8", "replace")
            data, offset = data + chunk.data, chunk.next_offset

    def attempt_folder(self, attempt_id: str) -> Path:
        """Where the engine keeps it."""
        return self.folder / "engine" / "attempts" / attempt_id

    def clean_up(self) -> None:
        """End and forget everything."""
        for report in value_of(self.engine.scan()):
            self.engine.stop(report.attempt_id, grace_s=0)
        for report in value_of(self.engine.scan()):
            self.ended(report.attempt_id)
            value_of(self.engine.forget(report.attempt_id))


def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Poll until `condition`; fails when it does not come true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def processes_with(mark: bytes) -> list[int]:
    """Processes that have `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found
