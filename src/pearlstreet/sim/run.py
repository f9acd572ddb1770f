"""One seed from its beginning to its rest, and what came of it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from pearlstreet.base.errors import Unavailable
from pearlstreet.sim.promises import Crash, Violation
from pearlstreet.sim.trace import Trace
from pearlstreet.sim.world import World
from pearlstreet.store.transitions import StaleWrite

FAST = Path("/dev/shm")  # noqa: S108  where files cost no disk; elsewhere than there when it cannot be written
FAILED = frozenset({"row failed", "placement failed", "step failed"})
"""What the product logs when something of it fails."""


@dataclass(frozen=True)
class Failure:
    """A promise that was broken, and where."""

    step: int
    rule: str
    details: str


@dataclass(frozen=True)
class Outcome:
    """What one seed came to."""

    seed: int
    steps: int
    digest: str
    """Of the trace: the same for the same seed and program."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Kind → how often it took effect."""
    cycles: int | None = None
    """How many it took to come to rest."""
    jobs: int = 0
    cpu_s: float = 0.0
    """Time of a processor it took: what a busy machine does not change."""
    failure: Failure | None = None


def run_seed(seed: int, trace: Trace | None = None, *, until: int | None = None) -> Outcome:
    """Run a seed, `until` a step or to its end. Never raises what the world finds."""
    trace, began_s = trace or Trace(), time.process_time()
    with _folder() as folder, only_real_trouble():
        world = World(seed, folder, trace)
        failure, cycles = None, None
        try:
            cycles = _live(world, until)
        except Violation as found:
            failure = Failure(world.number, found.rule, found.details)
        except Crash as crash:
            failure = Failure(world.number, "the simulator keeps crashes in", str(crash))
        except Exception as error:  # noqa: BLE001  a finding like any other: the seed replays it
            words = "".join(traceback.format_exception(error)[-3:])
            failure = Failure(world.number, "nothing fails unforeseen", f"{error!r}\n{words}")
        return Outcome(
            seed=seed,
            steps=world.number,
            digest=trace.digest(),
            faults=dict(sorted(world.faults.counts.items())),
            cycles=cycles,
            jobs=sum(len(tenant.jobs) for tenant in world.clients.tenants),
            cpu_s=time.process_time() - began_s,
            failure=failure,
        )


def _live(world: World, until: int | None) -> int | None:
    if until is None:
        return world.run()
    while world.number < until:
        world.step()
    return None


@contextmanager
def _folder() -> Iterator[Path]:
    place = str(FAST) if FAST.is_dir() and os.access(FAST, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="pearl-sim-", dir=place) as folder:
        yield Path(folder)


@contextmanager
def only_real_trouble() -> Iterator[None]:
    """No log lines; but what the product reports as failed, without a fault behind it, ends the world."""
    before = structlog.get_config()
    structlog.configure(
        processors=[_judge],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _judge(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = sys.exc_info()[1]
    if event["event"] in FAILED and not isinstance(error, Unavailable | StaleWrite | OSError):
        where = f"{event.get('loop', '')} {event.get('row', event.get('job', ''))}"
        raise Violation("a loop fails only when its store does", f"{where}: {error!r}")
    raise structlog.DropEvent
