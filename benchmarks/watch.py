"""CPU of watching attempts that run: one observation a cycle, beside a probe and a row read for each attempt.

    python benchmarks/watch.py [--attempts 5000]

Bound: 10 % of a core for 5,000 running attempts, at the product's own pace of five cycles a second. Nothing starts or ends meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from results_table import record

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.base.clock import SystemClock
from pearlstreet.base.outcome import Done
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, TaskOrder
from pearlstreet.compute.engines.simulated import SimulatedEngine, nodes_from
from pearlstreet.compute.execution.engine_view import EngineView
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.execution.watch_loop import watch_loop
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.migrations import migrate

CARDS = 8


def main() -> None:
    """Measure both ways and print their shares of a core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=500 if os.environ.get("PEARL_BENCH_SMOKE") else 5000)
    count = parser.parse_args().attempts
    clock = SystemClock()
    engine = SimulatedEngine(
        nodes_from(f"{-(-count // CARDS)}x{CARDS}xH100-80G"), clock=clock, rng=SeededRng(1)
    )
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'center.db'}")
        migrate(database)
        store = Store(database, clock=clock, rng=SeededRng(2))
        ids = [f"att_{number:026d}" for number in range(count)]
        for number, attempt_id in enumerate(ids):
            _start(engine, attempt_id, f"{number // CARDS}", number % CARDS)
        time.sleep(2)
        store.write(lambda tx: _insert(tx, ids))
        execution = Execution({engine.name: engine}, {})
        loop = watch_loop(execution, EngineView(engine))
        loop.step(store)  # the complete observation
        observed_s = _cpu_s(lambda: loop.step(store), 50)
        probed_s = _cpu_s(lambda: _probe_each(store, engine), 3)
        store.close()
    for name, cpu_s in (("observed", observed_s), ("probed one by one", probed_s)):
        share = cpu_s / (execution.settings.watch_interval_s + cpu_s) * 100
        print(f"{count:,} attempts {name}: {cpu_s * 1000:.2f} ms of CPU a cycle, {share:.1f} % of a core")
    print(f"observing takes {observed_s / probed_s:.4f} of the CPU of probing")
    share = observed_s / (execution.settings.watch_interval_s + observed_s) * 100
    record(f"watching {count} attempts, of a core", share, "%", "at most", 10)


def _start(engine: SimulatedEngine, attempt_id: str, node: str, device: int) -> None:
    names = _names(engine)
    task = TaskOrder(0, names[int(node)], 1, 1, (DeviceGrant(device),))
    order = AttemptOrder(attempt_id, "job_1", "org_1", ("train",), (task,), simulate_s=86_400)
    assert isinstance(engine.start(order), Done)


def _names(engine: SimulatedEngine) -> list[str]:
    answer = engine.nodes()
    assert isinstance(answer, Done)
    return [node.name for node in answer.value]


def _insert(tx: Tx, ids: list[str]) -> None:
    rows = [
        {
            "id": attempt_id,
            "owner_kind": "job",
            "owner_id": f"job_{attempt_id}",
            "org_id": "org_1",
            "project_id": "prj_1",
            "number": 1,
            "engine": "simulated",
            "state": "running",
            "placement": {"tasks": [{"rank": 0, "node": "n", "cpu_milli": 1000, "memory_mib": 1024, "devices": []}]},
            "usage": {},
            "price_version_id": "prv_1",
            "hourly_micro": 0,
            "placed_us": tx.now_us,
            "started_us": tx.now_us,
            "metered_until_us": tx.now_us,
            "span_sequence": 0,
            "time_limit_s": 86_400.0,
            "covered_s": 86_400.0,
            "grace_s": 30.0,
        }
        for attempt_id in ids
    ]  # fmt: skip
    tx.execute(sa.insert(attempts), rows)


def _probe_each(store: Store, engine: SimulatedEngine) -> None:
    query = sa.select(attempts).where(attempts.c.engine == engine.name, attempts.c.state.in_(LIVE_ATTEMPT))
    for row in store.read(lambda tx: tx.rows(query)):
        assert isinstance(engine.probe(row["id"]), Done)


def _cpu_s(act: Callable[[], object], times: int) -> float:
    """Return the mean CPU seconds of this process for one call, called five times a second."""
    found = []
    for _ in range(times):
        before = time.process_time()
        act()
        found.append(time.process_time() - before)
        time.sleep(max(0.2 - found[-1], 0))
    return statistics.mean(found)


if __name__ == "__main__":
    main()
