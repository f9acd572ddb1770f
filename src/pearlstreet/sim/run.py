"""Run of one seed until its world rests, and its outcome."""

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

import structlog

from pearlstreet.base.errors import Unavailable
from pearlstreet.sim.promises import Crash, Violation
from pearlstreet.sim.trace import Trace
from pearlstreet.sim.world import World
from pearlstreet.store.transitions import StaleWrite

FAST = Path("/dev/shm")  # noqa: S108  folder in memory; if it is not writable, the default temporary folder is used
FAILED = frozenset({"row failed", "placement failed", "step failed"})
"""Log events by which the product reports a failure of its own."""


@dataclass(frozen=True)
class Failure:
    """A violated invariant and the step at which it was found."""

    step: int
    rule: str
    details: str


@dataclass(frozen=True)
class Outcome:
    """Outcome of one seed."""

    seed: int
    steps: int
    digest: str
    """Hash of the trace: the same for the same seed and program."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Fault kind → number of injections that took effect."""
    cycles: int | None = None
    """Number of cycles until the world rested."""
    jobs: int = 0
    cpu_s: float = 0.0
    """Processor time used, which does not depend on the machine's other load."""
    failure: Failure | None = None


def run_seed(seed: int, trace: Trace | None = None, *, until: int | None = None) -> Outcome:
    """Run a seed to its end or `until` a step. A violation or crash is in the outcome and not raised."""
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
        except Exception as error:  # noqa: BLE001  an unforeseen error is a finding too, which the seed replays
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
    """Suppress log lines, but raise Violation if the product logs a failure that no injected fault caused."""
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


def _judge(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    error = sys.exc_info()[1]
    if event["event"] in FAILED and not isinstance(error, Unavailable | StaleWrite | OSError):
        where = f"{event.get('loop', '')} {event.get('row', event.get('job', ''))}"
        raise Violation("a loop fails only when its store does", f"{where}: {error!r}")
    raise structlog.DropEvent
