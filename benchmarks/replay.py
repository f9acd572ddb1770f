"""Jobs replayed a second, against an event loop written for one policy alone, in the same run.

    python benchmarks/replay.py [--jobs 8000] [--nodes 94] [--load 0.9] [--trace FILE --cluster FILE] [--judge jobs.py]

Without a trace the jobs are drawn: mostly one card, some gangs, run times log-normal, as many as keep the cluster at the
load. The peer does first come, first served with skipping and nothing else, on plain lists; with --judge it is the
`fifo_skip` of that program on the trace's file. Prints jobs a second under FIFO and under the default policy, and the
ratios.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from results_table import record

from pearlstreet.cli.parallel_replay import chosen
from pearlstreet.compute.replay.cases import Case, play
from pearlstreet.compute.replay.clusters import Cluster, one_pool, plain_node, read_cluster
from pearlstreet.compute.replay.measures import measure
from pearlstreet.compute.replay.reading.registry import read_trace
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.trace import Job, Trace, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig

PER_NODE = 8
SIZES = (1,) * 90 + (2, 2, 4, 4, 4, 8, 8, 8, 16, 32)
FIFO = PlannerConfig(order="fifo", backfill="greedy", preemption="none")


def drawn(count: int, nodes: int, load: float, seed: int) -> Trace:
    """Jobs that keep so many nodes at the load."""
    rng = random.Random(seed)
    jobs, now_s = [], 0.0
    work = sum(SIZES) / len(SIZES) * 3600 * 1.65  # the mean of exp(N(0, 1)) hours
    for i in range(count):
        now_s += rng.expovariate(nodes * PER_NODE * load / work)
        tasks, each = gang(rng.choice(SIZES), PER_NODE)
        run_s = round(3600 * rng.lognormvariate(0, 1), 3)
        jobs.append(
            Job(f"j{i}", round(now_s, 3), run_s, whole_devices(each), tasks, org=f"vc{rng.randrange(11)}")
        )
    return make_trace(jobs)


def naive(trace: Trace, nodes: Sequence[int]) -> float:
    """Mean waiting of first come, first served with skipping: plain lists, no planner, nothing explained."""
    free, waiting, ends, waited = list(nodes), [], [], 0.0
    submit, run = (trace.submit_us / 1e6).tolist(), (trace.duration_us / 1e6).tolist()
    each = [trace.requests[request].count for request in trace.request.tolist()]
    tasks = trace.tasks.tolist()
    arrived = 0
    while arrived < trace.count or ends:
        arrival = submit[arrived] if arrived < trace.count else float("inf")
        now = min(arrival, ends[0][0] if ends else float("inf"))
        while ends and ends[0][0] <= now:
            _, job, place = heapq.heappop(ends)
            for node in place:
                free[node] += each[job]
        while arrived < trace.count and submit[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        left = []
        for job in waiting:
            place = _place(free, each[job], tasks[job])
            if place is None:
                left.append(job)
                continue
            for node in place:
                free[node] -= each[job]
            waited += now - submit[job]
            heapq.heappush(ends, (now + run[job], job, place))
        waiting = left
    return waited / trace.count


def _place(free: Sequence[int], each: int, tasks: int) -> list[int] | None:
    """The tightest node for one task; any that fit for several."""
    fit = [node for node, cards in enumerate(free) if cards >= each]
    if tasks == 1:
        return [min(fit, key=free.__getitem__)] if fit else None
    return fit[:tasks] if len(fit) >= tasks else None


def timed(
    trace: Trace, cluster: Cluster, config: PlannerConfig, sharing: str, processes: int
) -> tuple[float, float, int]:
    """Seconds, mean waiting, plans."""
    began = time.perf_counter()
    played = play(trace, Case("x", cluster, config, sharing=sharing), None, chosen(trace.count, processes))
    took = time.perf_counter() - began
    found = measure(played)
    return took, found.times.avg_queue_s, found.plans


def main() -> None:
    """Print one line of JSON a case."""
    parser = argparse.ArgumentParser()
    smoke = "PEARL_BENCH_SMOKE" in os.environ
    parser.add_argument("--jobs", type=int, default=300 if smoke else 8000)
    parser.add_argument("--nodes", type=int, default=16 if smoke else 94)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--cluster", type=Path)
    parser.add_argument("--share", default="pool")
    parser.add_argument("--processes", type=int, default=0, help="0: one a core")
    parser.add_argument(
        "--judge", type=Path, help="a program with `run --policies fifo_skip` on the same files"
    )
    given = parser.parse_args()
    if given.trace:
        with given.cluster.open(encoding="utf-8") as lines:
            cluster = read_cluster(lines, given.cluster.name)
        with given.trace.open(encoding="utf-8") as lines:
            trace = read_trace(lines, Findings(given.trace.name), per_node=cluster.per_node)
    else:
        trace = drawn(given.jobs, given.nodes, given.load, 1)
        cluster = one_pool(plain_node(f"n{i}", PER_NODE, "gpu") for i in range(given.nodes))
    began = time.perf_counter()
    if given.judge:
        merge = [] if given.share == "isolated" else ["--merge-vcs"]
        subprocess.run(
            [sys.executable, str(given.judge), "run", "--trace", str(given.trace), "--cluster", str(given.cluster),
             "--policies", "fifo_skip", *merge],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        peer_queue = None
    else:
        peer_queue = naive(trace, [len(node.devices) for node in cluster.nodes])
    peer_s = time.perf_counter() - began
    print(
        json.dumps(
            {"peer": "judge" if given.judge else "naive", "s": round(peer_s, 2), "avg_queue_s": peer_queue}
        )
    )
    for name, config in (("fifo", FIFO), ("default", PlannerConfig())):
        took, queue_s, plans = timed(trace, cluster, config, given.share, given.processes)
        peer = "judge" if given.judge else "event loop of one policy"
        record(
            f"replay of {trace.count:,} jobs, {name} policy",
            trace.count / took,
            "jobs/s",
            peer,
            trace.count / peer_s,
        )
        print(
            json.dumps(
                {
                    "policy": name, "jobs": trace.count, "nodes": len(cluster.nodes), "s": round(took, 2),
                    "jobs_per_s": round(trace.count / took), "plans": plans, "ms_per_plan": round(took / max(plans, 1) * 1e3, 3),
                    "avg_queue_s": queue_s, "times_the_peer": round(took / peer_s, 2),
                }
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
