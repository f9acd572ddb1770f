"""Placement decisions a second, one request at a time, on centers of 100 to 50,000 nodes × 8 devices.

    python benchmarks/placement.py [--nodes 100,1000,5000,50000] [--decisions 3000]

A center is filled to about 85 % with requests of 60 different shapes on three models; then each step ends a task and places
another. One of more than 5,000 nodes is made of copies of one with 4,800 that was filled so. The peer in the same run is the published fragmentation gradient (Weng et al., ATC 2023) as straight NumPy: every
node scored anew for every decision. For scale: kube-scheduler's own performance suite demands 180 pods a second with
GPU-like resources.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from dataclasses import replace

import numpy as np
from results_table import record

from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.capacity import ALL, request_needs
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.online_placer import OnlinePlacer, Seat
from pearlstreet.compute.scheduling.placement.fragmentation import Fragmentation
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow, Request
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

MODELS = (("h100-80g", 81_920, 0.99), ("a100-80g", 81_920, 0.31), ("910b-64g", 65_536, 0.32))
PFLOPS = {name: pflops for name, _, pflops in MODELS}
FULL = 0.85
COPIED = 4800
KUBE_PER_S = 180


def make_nodes(count: int) -> list[NodeRow]:
    rows = []
    for i in range(count):
        model, memory, _ = MODELS[i % 3]
        devices = tuple(DeviceRow(j, model, memory, link_group=j // 4) for j in range(8))
        rows.append(NodeRow(f"n{i}", 128_000, 1 << 20, devices, rack=f"r{i // 40}", pod=f"p{i // 400}"))
    return rows


def make_workload(rng: random.Random) -> dict[Request, int]:
    """60 shapes: parts of a device, whole ones, some on one model only, some without any."""
    found: dict[Request, int] = {}
    while len(found) < 60:
        kind = rng.choices(("share", "one", "many", "cpu"), (35, 40, 15, 10))[0]
        cpu, memory = rng.randrange(1, 14) * 1000, rng.randrange(1, 16) * 8192
        models = () if kind == "cpu" or rng.random() < 0.7 else (rng.choice(MODELS)[0],)
        count = {"one": 1, "many": rng.choice((2, 4, 8))}.get(kind, 0)
        share = ShareRequest(0, rng.choice((1000, 2000, 2500, 3300, 5000, 7000))) if kind == "share" else None
        request = Request(models, count, share, cpu * max(count, 1), memory * max(count, 1))
        found[request] = rng.randrange(1, 40) if count < 2 else rng.randrange(1, 8)
    return found


def cards(request: Request) -> float:
    return request.count + (request.share.compute_bp / 10_000 if request.share else 0.0)


class Stream:
    """Requests in the workload's proportions."""

    def __init__(self, workload: dict[Request, int], rng: random.Random) -> None:
        self._requests, self._weights, self._rng = list(workload), list(workload.values()), rng

    def __call__(self) -> Request:
        return self._rng.choices(self._requests, self._weights)[0]


Held = list[tuple[Request, Seat]]


def make_placer(count: int, workload: dict[Request, int], placement: str) -> OnlinePlacer:
    config = PlannerConfig(placement=placement)
    return OnlinePlacer(make_nodes(count), config, workload=workload, pflops_of=PFLOPS.__getitem__)


def filled(placer: OnlinePlacer, stream: Stream) -> Held:
    """Place until the center is nearly full, or much is refused."""
    held: Held = []
    used, misses = 0.0, 0
    while used < FULL * 8 * placer.capacity.count and misses < 200:
        request = stream()
        seat = placer.place(request)
        misses += seat is None
        if seat is not None:
            held.append((request, seat))
            used += cards(request)
    return held


def copied(small: OnlinePlacer, held: Held, large: OnlinePlacer) -> Held:
    """The small center's state as often as it goes into the large one."""
    size, times = small.capacity.count, large.capacity.count // small.capacity.count
    for name in ("cpu", "memory", "device_memory", "device_compute"):
        part = getattr(small.capacity, name)
        getattr(large.capacity, name)[: size * times] = np.concatenate([part] * times)
    return [
        (request, replace(seat, chunk=replace(seat.chunk, node=seat.chunk.node + size * i)))
        for i in range(times)
        for request, seat in held
    ]


def ours(count: int, decisions: int, placement: str) -> tuple[dict[str, object], OnlinePlacer, Stream]:
    """Fill, then replace tasks one by one; only the placing is timed, by the wall and by the processor."""
    rng = random.Random(1)
    workload = make_workload(rng)
    stream = Stream(workload, rng)
    placer = make_placer(count, workload, placement)
    if count <= 5000:
        held = filled(placer, stream)
    else:
        small = make_placer(COPIED, workload, placement)
        held = copied(small, filled(small, stream), placer)
        for request in workload:  # so that no first question of a shape is among the timed
            seat = placer.place(request)
            held += [(request, seat)] if seat else []
    spent, busy = [], []
    for _ in range(decisions):
        placer.release(held.pop(rng.randrange(len(held)))[1])
        request = stream()
        started, used = time.perf_counter(), time.thread_time()
        seat = placer.place(request)
        spent.append(time.perf_counter() - started)
        busy.append(time.thread_time() - used)
        held += [(request, seat)] if seat else []
    row = {
        "nodes": count,
        "policy": placement,
        "decisions_per_s": round(decisions / sum(spent)),
        "p50_ms": round(1000 * float(np.percentile(spent, 50)), 3),
        "p99_ms": round(1000 * float(np.percentile(spent, 99)), 3),
        "p99_busy_ms": round(1000 * float(np.percentile(busy, 99)), 3),
        "decisions_per_busy_s": round(decisions / sum(busy)),
        "held": len(held),
    }
    return row, placer, stream


def peer(placer: OnlinePlacer, stream: Stream, decisions: int) -> float:
    """Seconds a decision of the fragmentation gradient, every node scored anew, on the same full center."""
    snapshot, capacity = placer.snapshot, placer.capacity
    scorer = Fragmentation(snapshot, PlannerConfig(), PlannerCache())
    started = time.perf_counter()
    for _ in range(decisions):
        best = np.inf
        for need in request_needs(snapshot, stream()):
            fit = capacity.fit(need, ALL, False)
            score = np.where(fit > 0, scorer.score(capacity, need, ALL, fit, False)[0], np.inf)
            best = min(best, float(score.min()))
    return (time.perf_counter() - started) / decisions


def main() -> None:
    smoke = bool(os.environ.get("PEARL_BENCH_SMOKE"))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", default="100,200" if smoke else "100,500,1000,5000,20000,50000")
    arguments.add_argument("--decisions", type=int, default=200 if smoke else 3000)
    arguments.add_argument("--placement", default="expected-fill")
    arguments.add_argument("--kernels", choices=("auto", "never", "always"), default="auto")
    options = arguments.parse_args()
    load = os.getloadavg()[0]
    print(json.dumps({"cores": os.cpu_count(), "load": round(load, 1), "numba": kernels.installed()}))
    with kernels.using(options.kernels):
        ours(20, 50, options.placement)  # loads what is compiled
        for count in map(int, options.nodes.split(",")):
            row, placer, stream = ours(count, options.decisions, options.placement)
            each = peer(placer, stream, 3 if smoke or count > 10_000 else 10)
            row["peer"] = "fragmentation gradient, straight NumPy"
            row["peer_decisions_per_s"] = round(1 / each, 1)
            row["ratio"] = round(float(str(row["decisions_per_s"])) * each, 1)
            row["of_kube_floor"] = round(float(str(row["decisions_per_s"])) / KUBE_PER_S, 1)
            print(json.dumps(row), flush=True)
            decided = float(str(row["decisions_per_s"]))
            record(
                f"placement decisions, {count:,} nodes",
                decided,
                "/s",
                "fragmentation gradient in NumPy",
                1 / each,
            )
            record(
                f"placement decisions, {count:,} nodes", decided, "/s", "kube-scheduler's floor", KUBE_PER_S
            )


if __name__ == "__main__":
    main()
