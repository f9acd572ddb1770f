"""What a planner cycle costs, by nodes and by length of the queue: a table, and a chart as HTML.

    python benchmarks/cost.py [--nodes 100,1000,5000,20000,50000] [--waiting 100,1000,10000,50000] [--html cost.html]

Centers of nodes × 8 devices of three models, nine tenths of them held. `first` is the first cycle that a planner sees of
a center, `next` the one after it: one in a hundred of what runs ended, as many jobs came, and what the planner knows of
the machines is carried over, as the live loop and a replay do. `snapshot` is making the arrays from rows. Figures are
processor time of this process, the median of some rounds, so that a loaded machine moves them less than a clock would.
`small` is the fixed cost: 100 full nodes, 500 waiting jobs of eight shapes, first come, first served.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from results_table import record

from pearlstreet.charts.curves import Curve, curves
from pearlstreet.compute.replay import report
from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.builder import SnapshotBuilder, build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

MODELS = (("h100-80g", 81_920, 0.99), ("a100-80g", 81_920, 0.31), ("910b-64g", 65_536, 0.32))
PFLOPS = {name: pflops for name, _, pflops in MODELS}
NOW_US = 1_000_000_000_000
BUSY, TURNOVER = 0.9, 0.01
SIZES = (1, 1, 1, 1, 2, 2, 4, 8)
ALIKE = (1, 2, 3, 4, 5, 6, 7, 8)
WAITING, NODES = 1000, 1000
FIXED_MS = 0.4
"""Bound of the fixed cost of a cycle, see docs/operate/performance.md."""
"""Of the rows that vary the other."""
Row = dict[str, float | str]


def center(count: int) -> list[NodeRow]:
    """Nodes of eight devices, three models in turn, 40 a rack."""
    found = []
    for i in range(count):
        model, memory, _ = MODELS[i % 3]
        devices = tuple(DeviceRow(j, model, memory, link_group=j // 4) for j in range(8))
        found.append(NodeRow(f"n{i}", 128_000, 1 << 20, devices, rack=f"r{i // 40}", pod=f"p{i // 400}"))
    return found


def held(rows: list[NodeRow], share: float, rng: random.Random) -> list[RunningAttempt]:
    """Attempts on about that share of the devices."""
    found = []
    for row in rows:
        at = 0
        while at < 8:
            size = min(rng.choice(SIZES), 8 - at)
            if rng.random() < share:
                uses = tuple(DeviceUse(j) for j in range(at, at + size))
                name = f"{row.name}.{at}"
                found.append(
                    RunningAttempt(
                        id=f"a{name}", job_id=f"r{name}", org=f"o{rng.randrange(20)}", project="p",
                        tasks=(TaskUse(row.name, 8000 * size, 32_768 * size, uses),),
                        started_us=NOW_US - rng.randrange(10**10), expected_end_us=NOW_US + rng.randrange(1, 10**10),
                        preemptible=rng.random() < 0.5,
                    )
                )  # fmt: skip
            at += size
    return found


def queue(first: int, count: int, rng: random.Random) -> list[WaitingJob]:
    """Jobs of 20 organisations, of a few sizes, models and limits."""
    found = []
    for i in range(first, first + count):
        size = rng.choice(SIZES)
        request = Request(
            (rng.choice(("any", "h100", "a100", "910b")),), size, None, 8000 * size, 32_768 * size
        )
        found.append(
            WaitingJob(
                id=f"j{i:07d}", org=f"o{rng.randrange(20)}", project="p", request=request, submitted_us=i,
                time_limit_s=rng.choice((3600.0, 14_400.0, 86_400.0)),
            )
        )  # fmt: skip
    return found


def started(placement: Placement) -> RunningAttempt:
    """What was placed, as it runs."""
    return RunningAttempt(
        id=f"a{placement.job_id}", job_id=placement.job_id, org="o1", project="p", started_us=NOW_US,
        tasks=tuple(
            TaskUse(
                task.node, 8000 * len(task.devices), 32_768 * len(task.devices),
                tuple(DeviceUse(given.index) for given in task.devices),
            )
            for task in placement.tasks
        ),
    )  # fmt: skip


def spent(act: Callable[[], object]) -> float:
    """Processor time of one call in ms."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1e3


def measured(nodes: int, waiting: int, rounds: int) -> Row:
    """One row of the table."""
    rng = random.Random(1)
    rows, config = center(nodes), PlannerConfig()
    builder = SnapshotBuilder(PFLOPS.__getitem__)
    builder.set_nodes(rows)
    running = held(rows, BUSY, rng)
    for attempt in running:
        builder.add_running(attempt)
    for job in queue(0, waiting, rng):
        builder.add_waiting(job)
    snapshot, cache = builder.build(NOW_US), PlannerCache()
    first = spent(lambda: plan(snapshot, config, cache=cache))
    answer = plan(snapshot, config, cache=cache)
    makes, cycles = [], []
    came = waiting
    for number in range(rounds):
        rng.shuffle(running)
        for _ in range(max(int(len(running) * TURNOVER), 1)):
            builder.remove_running(running.pop().id)
        for placement in answer.placements:
            builder.remove_waiting(placement.job_id)
            running.append(started(placement))
            builder.add_running(running[-1])
        for job in queue(came, len(answer.placements), rng):
            builder.add_waiting(job)
        came += len(answer.placements)
        before = time.process_time()
        snapshot = builder.build(NOW_US + number)
        makes.append((time.process_time() - before) * 1e3)
        before = time.process_time()
        answer = plan(snapshot, config, cache=cache)
        cycles.append((time.process_time() - before) * 1e3)
    return {
        "nodes": nodes,
        "waiting": waiting,
        "snapshot_ms": round(statistics.median(makes), 2),
        "first_ms": round(first, 2),
        "next_ms": round(statistics.median(cycles), 2),
        "placed": len(answer.placements),
    }


def small(order: str, rounds: int) -> Row:
    """The fixed cost of a cycle in which nothing can start."""
    rng = random.Random(2)
    rows = center(100)
    waiting = [
        WaitingJob(f"j{i:04d}", "o", "p", Request(("any",), ALIKE[i % 8], None, 8000, 32_768), submitted_us=i)
        for i in range(500)
    ]
    snapshot = build(
        now_us=NOW_US, nodes=rows, running=held(rows, 1.0, rng), waiting=waiting, pflops_of=PFLOPS.__getitem__
    )
    config = PlannerConfig(order=order, preemption="none")
    cache = PlannerCache()
    plan(snapshot, config, cache=cache)
    times = [spent(lambda: plan(snapshot, config, cache=cache)) for _ in range(rounds)]
    return {"case": "small", "order": order, "ms": round(statistics.median(times), 3)}


def drawn(title: str, key: str, rows: list[Row]) -> str:
    """A chart over the decimal logarithm of a column."""
    lines = [
        Curve(name, [(math.log10(float(row[key])), float(row[f"{name}_ms"])) for row in rows])
        for name in ("first", "next", "snapshot")
    ]
    return str(curves(title, lines, unit=" ms", name_x=lambda x: f"{10**x:,.0f}"))


def page(charts: list[str], rows: list[Row], machine: str) -> str:
    """One file that needs no other."""
    style = Path(report.__file__).with_name("report.css").read_text(encoding="utf-8")
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{row[name]}</td>" for name in rows[0]) + "</tr>" for row in rows)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Cost of a cycle</title><style>{style}</style>'
        f'<main><h1>Cost of a planner cycle</h1><p class="lead">{machine}</p>'
        f'<section><div class="charts">{"".join(charts)}</div></section>'
        f"<section><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section></main></html>\n"
    )


def main() -> None:
    smoke = bool(os.environ.get("PEARL_BENCH_SMOKE"))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", default="100,200" if smoke else "100,1000,5000,20000,50000")
    arguments.add_argument("--waiting", default="100,200" if smoke else "100,1000,10000,50000")
    arguments.add_argument("--rounds", type=int, default=2 if smoke else 5)
    arguments.add_argument("--html", type=Path)
    arguments.add_argument("--kernels", choices=("auto", "never", "always"), default="auto")
    options = arguments.parse_args()
    machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "numba": kernels.installed()}
    print(json.dumps(machine), flush=True)
    by_nodes: list[Row] = []
    by_waiting: list[Row] = []
    with kernels.using(options.kernels):
        measured(20, 50, 1)  # loads what is compiled
        for order in ("fifo", "fair-share"):
            fixed = small(order, 20 if smoke else 200)
            print(json.dumps(fixed), flush=True)
            record(f"fixed cost of a cycle, {order}", float(fixed["ms"]), "ms", "at most", FIXED_MS)
        for found, nodes, waiting in (
            *((by_nodes, int(count), WAITING if not smoke else 100) for count in options.nodes.split(",")),
            *((by_waiting, NODES if not smoke else 100, int(count)) for count in options.waiting.split(",")),
        ):
            found.append(measured(nodes, waiting, options.rounds))
            print(json.dumps(found[-1]), flush=True)
            first, later = float(found[-1]["first_ms"]), float(found[-1]["next_ms"])
            record(f"later cycle, {nodes:,} nodes, {waiting:,} waiting", later, "ms", "first cycle", first)
    if options.html:
        charts = [drawn("By nodes", "nodes", by_nodes), drawn("By jobs that wait", "waiting", by_waiting)]
        told = ", ".join(f"{name} {value}" for name, value in machine.items())
        options.html.write_text(page(charts, by_nodes + by_waiting, told), encoding="utf-8")


if __name__ == "__main__":
    main()
