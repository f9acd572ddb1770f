"""Gives the laws of the conformance suite an engine of this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("pearlstreet.compute.engines.conformance")

from pearlstreet.base.clock import VirtualClock  # noqa: E402  after the line above
from pearlstreet.base.rng import SeededRng  # noqa: E402
from pearlstreet.compute.engines.conformance import Rig, build_order  # noqa: E402
from pearlstreet.compute.engines.host import EngineHost  # noqa: E402
from pearlstreet.compute.engines.protocol import AttemptOrder, Engine  # noqa: E402
from pearlstreet.compute.engines.registry import engine_kind  # noqa: E402
from pearlstreet.compute.engines.simulated import EXIT_CODE_VARIABLE, SimulatedEngine  # noqa: E402


class ToyRig(Rig):
    """The toy engine, made as a center makes it, in virtual time."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        super().__init__(folder)

    def _make(self) -> Engine:
        host = EngineHost("lab", True, self.folder, self.folder / "lab", self.clock, SeededRng(7))
        return engine_kind("toy").make(host, {"nodes": 2})

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
        wanted = tuple(self.task(rank) for rank in range(tasks))
        ends = {EXIT_CODE_VARIABLE: str(exit_code), **(variables or {})}
        return build_order(
            attempt_id, (script or "train",), wanted, ends, time_s, {"simulate_s": lasts_s, **fields}
        )


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A toy engine over an empty folder."""
    toy = ToyRig(tmp_path)
    yield toy
    toy.clean_up()
