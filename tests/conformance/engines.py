"""A rig or more for each kind of engine: how to make one over a folder, let its time pass, and order something of it.

A new engine adds a rig to RIGS; `test_registry.py` fails until it does. The laws in this folder know only `Rig`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pearlstreet.base.clock import SystemClock, VirtualClock
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.conformance.rig import Rig, build_order, value_of
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    DeviceGrant,
    DeviceReport,
    DeviceRequest,
    Engine,
    NodeReport,
)
from pearlstreet.compute.engines.simulated import EXIT_CODE_VARIABLE, Habits, SimulatedEngine, nodes_from
from pearlstreet.compute.hardware.node import probe_node
from tests.conformance.slurm_rig import CommandSlurmRig, ExchangeSlurmRig, SlurmRig
from tests.engines_present import has_bubblewrap, need


class SimulatedRig(Rig):
    """Time is virtual: a law that waits takes no time."""

    model = "h100-sxm-80g"

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
            placement=self.placement,
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
        device: dict[str, Any] = {"devices": (DeviceGrant(0),)}
        if self.placement != "device":
            device = {"wants": DeviceRequest(self.model, 1)}
        wanted = tuple(self.task(rank, **(device if rank == 0 else {})) for rank in range(tasks))
        return build_order(
            attempt_id,
            (script or "train",),
            wanted,
            {EXIT_CODE_VARIABLE: str(exit_code), **(variables or {})},
            time_s,
            {"simulate_s": lasts_s, **fields},
        )


class NodePlacedSimulatedRig(SimulatedRig):
    """The engine chooses devices on the ordered nodes."""

    placement = "node"


class EnginePlacedSimulatedRig(SimulatedRig):
    """The engine chooses nodes and devices."""

    placement = "engine"

    def weaken(self) -> None:
        assert isinstance(self.engine, SimulatedEngine)
        for node in value_of(self.engine.nodes()):
            self.engine.cluster.set_isolation(node.name, "landlock")


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
        return build_order(
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


class NodePlacedLocalRig(LocalRig):
    """The engine chooses devices on a machine that has some, or so it is told."""

    placement = "node"

    def _make(self) -> Engine:
        def probe() -> NodeReport:
            devices = (DeviceReport(index, "pretended", "P1", 16.0) for index in range(8))
            return replace(probe_node(), devices=tuple(devices))

        return LocalEngine(
            self.folder / "local", clock=SystemClock(), policy=self.policy, probe=probe, placement="node"
        )

    def order(self, *, tasks: int = 1, **wishes: Any) -> AttemptOrder:
        order = super().order(tasks=tasks, **wishes)
        first = replace(order.tasks[0], wants=DeviceRequest("P1", 1))
        return replace(order, tasks=(first, *order.tasks[1:]))


@dataclass(frozen=True, slots=True)
class RigKind:
    """A rig, the kind of engine it makes, and whether that runs code: laws about programs apply only then."""

    engine: str
    make: Callable[[Path], Rig]
    runs_code: bool
    is_slow: bool = False
    """Whether `make test` leaves it out, because a law takes seconds; a target of its own runs them."""
    only: tuple[str, ...] = ()
    """Words of the laws that `make test` asks of it; the others are those of another rig of its engine, and `make laws` runs them."""
    every_law: bool = True
    """Whether the laws that need no programs apply to it, too."""


PLACING = ("device", "node", "place", "gang", "start", "cards", "share", "observe", "adopt")
"""Words of laws that depend on who chooses the devices."""

RIGS: Mapping[str, RigKind] = {
    "local": RigKind("local", LocalRig, runs_code=True),
    "local-bare": RigKind("local", BareLocalRig, runs_code=True, every_law=False),
    "local-node": RigKind("local", NodePlacedLocalRig, runs_code=True, only=PLACING),
    "simulated": RigKind("simulated", SimulatedRig, runs_code=False),
    "slurm": RigKind("slurm", SlurmRig, runs_code=True, is_slow=True),
    "simulated-node": RigKind("simulated", NodePlacedSimulatedRig, runs_code=False),
    "simulated-engine": RigKind("simulated", EnginePlacedSimulatedRig, runs_code=False),
    "slurm-command": RigKind("slurm", CommandSlurmRig, runs_code=True, is_slow=True),
    "slurm-exchange": RigKind("slurm", ExchangeSlurmRig, runs_code=True, is_slow=True),
}
