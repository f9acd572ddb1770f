"""Making the snapshot of a live center of 5,000 nodes x 8 devices anew, after a few attempts ended and a few nodes changed.

    python benchmarks/snapshot.py [--nodes 5000] [--rounds 9]

The rows of nodes lie in a database, nine tenths of the devices are held. A round does what the live planning loop does between
reading its rows and planning: read the nodes, turn them into planner rows, add devices in use that are no longer reported, build.
Bound: 0.1 s of processor time for 5,000 nodes; nothing waits, so that the figure is that of the machines and of what runs.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from cost import BUSY, NOW_US, PFLOPS, TURNOVER, center, held
from results_table import record

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.pool.inventory import all_nodes, node_to_json
from pearlstreet.compute.pool.tables import nodes
from pearlstreet.compute.queueing.planner_rows import with_devices_in_use
from pearlstreet.compute.queueing.planning import KnownNodes
from pearlstreet.compute.scheduling.builder import SnapshotBuilder
from pearlstreet.compute.scheduling.node_table import NodeTable
from pearlstreet.compute.scheduling.rows import NodeRow
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database
from pearlstreet.store.migrations import migrate

BOUND_MS = 100


def report(row: NodeRow, cpus: float) -> NodeReport:
    """The report of an engine that gives this row."""
    devices = tuple(
        DeviceReport(
            d.index,
            "NVIDIA",
            d.model,
            d.memory_mib / 1024,
            f"GPU-{row.name}-{d.index}",
            link_group=d.link_group,
        )
        for d in row.devices
    )
    return NodeReport(
        row.name, cpus, row.memory_mib / 1024, 1000, devices, rack=row.rack, pod=row.pod,
        facts={"cpu": "EPYC 9654", "kernel": "6.1", "driver": "550"}, isolation="bubblewrap",
    )  # fmt: skip


def insert(tx: Tx, rows: list[NodeRow]) -> None:
    """Keep the reports of all nodes."""
    table = [
        {
            "name": row.name, "engine": "simulated", "report": node_to_json(report(row, 128)), "healthy": True,
            "present": True, "drained": False, "changed_us": tx.now_us,
        }
        for row in rows
    ]  # fmt: skip
    tx.execute(sa.insert(nodes), table)


def change(tx: Tx, row: NodeRow, cpus: float) -> None:
    """One node reports another number of processors."""
    kept = {"report": node_to_json(report(row, cpus)), "changed_us": tx.now_us}
    tx.execute(sa.update(nodes).where(nodes.c.name == row.name).values(**kept))


def main() -> None:
    """Measure the first snapshot and later ones, and print them beside the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    smoke = bool(os.environ.get("PEARL_BENCH_SMOKE"))
    parser.add_argument("--nodes", type=int, default=200 if smoke else 5000)
    parser.add_argument("--rounds", type=int, default=2 if smoke else 9)
    options = parser.parse_args()
    rng, rows = random.Random(1), center(options.nodes)
    running = held(rows, BUSY, rng)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'center.db'}")
        migrate(database)
        store = Store(database)
        store.write(lambda tx: insert(tx, rows))
        known, table, times = KnownNodes(), NodeTable(), []
        for number in range(options.rounds + 1):
            began = time.process_time()
            found = store.read(all_nodes)
            builder = SnapshotBuilder(PFLOPS.__getitem__, table)
            builder.set_nodes(with_devices_in_use(known.rows(found), running))
            for attempt in running:
                builder.add_running(attempt)
            builder.build(NOW_US)
            times.append((time.process_time() - began) * 1000)
            rng.shuffle(running)
            del running[: max(int(len(running) * TURNOVER), 1)]
            changed = rng.choice(rows)
            store.write(lambda tx, changed=changed, cpus=100.0 + number: change(tx, changed, cpus))
        store.close()
    first, later = times[0], statistics.median(times[1:])
    print(
        f"{options.nodes:,} nodes: first {first:.0f} ms, later {later:.0f} ms of processor time, {later / BOUND_MS:.2f} of the bound"
    )
    record(f"live snapshot of {options.nodes:,} nodes", later, "ms", "at most", BOUND_MS)


if __name__ == "__main__":
    main()
