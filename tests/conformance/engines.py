"""A rig or more for each kind of engine: how to make one over a folder, let its time pass, and order something of it.

A new engine adds a rig to RIGS; `test_registry.py` fails until it does. The laws in this folder know only `Rig`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pearlstreet.base.clock import SystemClock, VirtualClock
from pearlstreet.base.outcome import Done
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    DeviceGrant,
    Engine,
    Limits,
    TaskOrder,
    TaskState,
)
from pearlstreet.compute.engines.simulated import EXIT_CODE_VARIABLE, Habits, SimulatedEngine, nodes_from
from tests.engines_present import has_bubblewrap, need
from tests.fakes.engines import value_of

LONG_S = 600.0
"""Longer than any law waits."""
_numbers = itertools.count(1)


class Rig(ABC):
    """An engine under test, over a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine: Engine = self._make()
        self.node: str = value_of(self.engine.nodes())[0].name

    @abstractmethod
    def _make(self) -> Engine:
        """A new engine over the same folder."""

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
        """An order that runs so long and ends with that code; `script` (sh) replaces what it does."""

    def restart(self) -> Engine:
        """Close the engine and make another over the same folder, as when the server restarts."""
        self.engine.close()
        self.engine = self._make()
        return self.engine

    def start(self, **wishes: Any) -> str:
        """Start an order and give its attempt id."""
        order = self.order(**wishes)
        report: AttemptReport = value_of(self.engine.start(order))
        assert report.attempt_id == order.attempt_id
        return order.attempt_id

    def report(self, attempt_id: str) -> AttemptReport:
        """What the engine says about an attempt it must know."""
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
        self.until(lambda: self.report(attempt_id).state is not TaskState.STARTING)
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
        """The whole log of one task as it is now."""
        data, offset = b"", 0
        while True:
            chunk = value_of(self.engine.read_log(attempt_id, rank, offset=offset, limit=1 << 16))
            if not chunk.data:
                return data
            data, offset = data + chunk.data, chunk.next_offset

    def task(self, rank: int, **fields: Any) -> TaskOrder:
        """A small task on this rig's node."""
        small = TaskOrder(rank, self.node, cpus=0.1, memory_gib=0.25)
        return replace(small, **fields)

    def clean_up(self) -> None:
        """Stop what still runs, forget everything, close."""
        reports = value_of(self.engine.scan())
        for report in reports:
            self.engine.stop(report.attempt_id, grace_s=0)
        for report in reports:
            self.forget(report.attempt_id)
        self.engine.close()


class SimulatedRig(Rig):
    """Time is virtual: a law that waits takes no time."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        super().__init__(folder)

    def _make(self) -> Engine:
        return SimulatedEngine(
            nodes_from("2x8xH100-80G,1xcpu"),
            clock=self.clock,
            rng=SeededRng(7),
            habits=Habits(),
            state_path=self.folder / "cluster.jsonl",
        )

    def pause(self) -> None:
        self.clock.advance(0.05)

    def weaken(self) -> None:
        assert isinstance(self.engine, SimulatedEngine)
        self.engine.cluster.set_isolation(self.node, "landlock")

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
        devices = (DeviceGrant(0),)
        wanted = tuple(self.task(rank, devices=devices if rank == 0 else ()) for rank in range(tasks))
        return _order(
            attempt_id,
            (script or "train",),
            wanted,
            {EXIT_CODE_VARIABLE: str(exit_code), **(variables or {})},
            time_s,
            {"simulate_s": lasts_s, **fields},
        )


class LocalRig(Rig):
    """Real processes on this machine."""

    policy = SandboxPolicy()

    def _make(self) -> Engine:
        return LocalEngine(self.folder / "local", clock=SystemClock(), policy=self.policy)

    def pause(self) -> None:
        time.sleep(0.02)

    def weaken(self) -> None:
        need(has_bubblewrap(), "bubblewrap")
        programs = self.folder / "programs"
        programs.mkdir()
        for name in ("true", "sh"):  # everything a trial needs but bubblewrap
            (programs / name).symlink_to(shutil.which(name) or "")
        self._path = os.environ["PATH"]
        os.environ["PATH"] = str(programs)

    def clean_up(self) -> None:
        os.environ["PATH"] = getattr(self, "_path", os.environ["PATH"])
        super().clean_up()

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
        usual = f"echo begun; sleep {lasts_s}; echo over; exit {exit_code}"
        return _order(
            attempt_id,
            ("/bin/sh", "-c", script or usual),
            tuple(self.task(rank) for rank in range(tasks)),
            {"PATH": "/usr/local/bin:/usr/bin:/bin", **(variables or {})},
            time_s,
            fields,
        )


class BareLocalRig(LocalRig):
    """The same on a host that allows no sandbox and no control groups."""

    policy = SandboxPolicy(sandbox="none", cgroups="off", seccomp=False)


def _order(
    attempt_id: str | None,
    command: tuple[str, ...],
    tasks: tuple[TaskOrder, ...],
    variables: Mapping[str, str],
    time_s: float | None,
    fields: Mapping[str, Any],
) -> AttemptOrder:
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


@dataclass(frozen=True, slots=True)
class RigKind:
    """A rig, the kind of engine it makes, and whether that runs code: laws about programs apply only then."""

    engine: str
    make: Callable[[Path], Rig]
    runs_code: bool


RIGS: Mapping[str, RigKind] = {
    "local": RigKind("local", LocalRig, runs_code=True),
    "local-bare": RigKind("local", BareLocalRig, runs_code=True),
    "simulated": RigKind("simulated", SimulatedRig, runs_code=False),
}
