"""One planner cycle on 5,000 nodes × 8 devices, and its speed against the naive model on the same queue.

    PYTHONPATH=. python benchmarks/planner.py [--nodes 5000] [--waiting 10000]

Prints seconds a cycle, placements a second, and the ratio to the naive planner of tests/property in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time

from results_table import record
from tests.property.naive_planner import make_nodes, naive_plan

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    ShareRequest,
    TaskUse,
    WaitingJob,
)
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

NOW_US = 1_000_000_000_000
MODELS = (("h100-80g", 81_920, 0.99), ("a100-80g", 81_920, 0.31), ("910b-64g", 65_536, 0.32))
PFLOPS = {name: pflops for name, _, pflops in MODELS}


def make_center(count: int) -> list[NodeRow]:
    """`count` nodes of 8 devices, three models, 40 nodes a rack."""
    rows = []
    for i in range(count):
        model, memory, _ = MODELS[i % 3]
        devices = tuple(DeviceRow(j, model, memory, link_group=j // 4) for j in range(8))
        rows.append(NodeRow(f"n{i}", 128_000, 1 << 20, devices, rack=f"r{i // 40}", pod=f"p{i // 400}"))
    return rows


def make_running(rows: list[NodeRow], share: float, rng: random.Random) -> list[RunningAttempt]:
    """Whole-device attempts on about `share` of all devices."""
    found = []
    for row in rows:
        at = 0
        while at < 8:
            size = rng.choice((1, 1, 2, 4, 8))
            size = min(size, 8 - at)
            if rng.random() < share:
                uses = tuple(DeviceUse(j) for j in range(at, at + size))
                found.append(
                    RunningAttempt(
                        id=f"a{len(found)}", job_id=f"r{len(found)}", org=f"o{rng.randrange(20)}", project="p",
                        tasks=(TaskUse(row.name, 8000 * size, 32_768 * size, uses),),
                        started_us=NOW_US - rng.randrange(10**10),
                        expected_end_us=NOW_US + rng.randrange(1, 10**10),
                        preemptible=rng.random() < 0.5,
                    )
                )  # fmt: skip
            at += size
    return found


def make_queue(count: int, rng: random.Random, *, big: bool) -> list[WaitingJob]:
    """Jobs of many sizes, limits and organisations; `big` adds gangs and fractions."""
    found = []
    for i in range(count):
        size = rng.choice((1, 1, 1, 1, 2, 4, 8))
        tasks = rng.choice((1, 1, 1, 2, 8, 16)) if big and size == 8 else 1
        share = ShareRequest(rng.choice((8192, 16_384, 40_960))) if big and rng.random() < 0.2 else None
        request = Request(
            (rng.choice(("any", "h100", "a100", "910b")),),
            0 if share else size,
            share,
            8000 * size,
            32_768 * size,
        )
        found.append(
            WaitingJob(
                id=f"j{i:06d}", org=f"o{rng.randrange(20)}", project="p", request=request,
                tasks=1 if share else tasks, submitted_us=i, time_limit_s=float(rng.randrange(60, 86_400)),
            )
        )  # fmt: skip
    return found


def timed(label: str, snapshot: Snapshot, config: PlannerConfig, rounds: int = 3) -> dict[str, object]:
    """The best of some rounds, as seconds a cycle and placements a second."""
    cache = PlannerCache()
    best, answer = float("inf"), plan(snapshot, config, cache=cache)
    for _ in range(rounds):
        started = time.perf_counter()
        answer = plan(snapshot, config, cache=cache)
        best = min(best, time.perf_counter() - started)
    row = {
        "case": label,
        "cycle_s": round(best, 3),
        "placed": len(answer.placements),
        "placements_per_s": round(len(answer.placements) / best),
        "waiting_with_reason": len(answer.waits),
        "preempted": len(answer.preemptions),
        "tried": answer.considered,
    }
    print(json.dumps(row))
    return row


def against_naive(count: int, jobs: int, rng: random.Random) -> None:
    """Both planners on the same nodes and queue; same number placed, ratio of their times."""
    nodes = make_center(count)
    queue = make_queue(jobs, rng, big=True)
    snapshot = build(now_us=NOW_US, nodes=nodes, waiting=queue, pflops_of=PFLOPS.__getitem__)
    config = PlannerConfig(order="priority", placement="pack", backfill="greedy", preemption="none")
    cache = PlannerCache()
    plan(snapshot, config, cache=cache)
    started = time.perf_counter()
    answer = plan(snapshot, config, cache=cache)
    ours = time.perf_counter() - started
    plain = make_nodes(nodes, [])
    started = time.perf_counter()
    expected = naive_plan(plain, [row.name for row in nodes], queue, PFLOPS)
    theirs = time.perf_counter() - started
    record(f"planner cycle, {count} nodes, {jobs} jobs", ours * 1000, "ms", "naive planner", theirs * 1000)
    print(
        json.dumps(
            {
                "case": f"naive model, {count} nodes, {jobs} jobs",
                "ours_s": round(ours, 4),
                "naive_s": round(theirs, 3),
                "ratio": round(theirs / ours, 1),
                "placed": [len(answer.placements), len(expected)],
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    smoke = bool(os.environ.get("PEARL_BENCH_SMOKE"))
    parser.add_argument("--nodes", type=int, default=200 if smoke else 5000)
    parser.add_argument("--waiting", type=int, default=200 if smoke else 10_000)
    parser.add_argument("--naive-nodes", type=int, default=50 if smoke else 500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    nodes = make_center(options.nodes)
    running = make_running(nodes, 0.9, rng)
    started = time.perf_counter()
    queue = make_queue(options.waiting, rng, big=True)
    busy = build(now_us=NOW_US, nodes=nodes, running=running, waiting=queue, pflops_of=PFLOPS.__getitem__)
    print(
        json.dumps(
            {"case": "build the snapshot from rows", "seconds": round(time.perf_counter() - started, 3)}
        )
    )
    timed("busy center (90 % held), mixed queue", busy, PlannerConfig())
    full = make_running(nodes, 1.0, rng)
    packed = build(now_us=NOW_US, nodes=nodes, running=full, waiting=queue, pflops_of=PFLOPS.__getitem__)
    timed("full center, every job blocked", packed, PlannerConfig())
    long = build(now_us=NOW_US, nodes=nodes, running=running, waiting=make_queue(10 * options.waiting, rng, big=True),
                 pflops_of=PFLOPS.__getitem__)  # fmt: skip
    timed(f"busy center, {10 * options.waiting:,} waiting", long, PlannerConfig())
    urgent = [WaitingJob("u", "o1", "p", Request(("h100",), 8), tasks=64, priority=9)]
    claimed = build(now_us=NOW_US, nodes=nodes, running=running, waiting=urgent, pflops_of=PFLOPS.__getitem__)
    timed("512 devices by preemption", claimed, PlannerConfig())
    idle = build(now_us=NOW_US, nodes=nodes, waiting=queue, pflops_of=PFLOPS.__getitem__)
    timed("empty center, mixed queue", idle, PlannerConfig(depth=options.waiting))
    one = Request(("any",), 1, None, 8000, 32_768)
    array = [
        WaitingJob(f"e{i}", "o1", "p", one, submitted_us=1, array="big", element=i)
        for i in range(options.waiting)
    ]
    swept = build(now_us=NOW_US, nodes=nodes, waiting=array, pflops_of=PFLOPS.__getitem__)
    timed(f"array of {options.waiting:,} equal elements", swept, PlannerConfig())
    against_naive(options.naive_nodes, 200, rng)


if __name__ == "__main__":
    main()
