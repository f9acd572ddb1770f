"""Latency of 50 mixed requests per second with 100,000 jobs stored and every loop running.

70 % reads (one job, pages of the list with filters, why, timeline, attempts, nodes, balance), 30 % writes (submit,
cancel). Requests are sent on a fixed schedule and timed from the moment they were due, so that a slow answer does not
spare the server the next question. Bounds: p99 of reads 50 ms, of writes 200 ms; 500 MB of memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from center import (
    Center,
    Wire,
    arguments,
    center,
    percentile,
    print_machine,
    request,
    scratch,
    start,
    verdict,
)
from results_table import record

from pearlstreet.app.settings import load_settings
from pearlstreet.app.wiring import open_store
from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.ids import new_id
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.store.tables import state_events

PER_S = 50
WIRES = 32
ENDED = (("succeeded", 0.80), ("failed", 0.14), ("cancelled", 0.06))
CLUSTER = "8x8xH100-80G"
FULL = {
    "name": "full",
    "command": ["true"],
    "tasks": 8,
    "per_task": {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64},
    "time_limit": "24h",
    "simulate": "24h",
}
SMALL = {
    "name": "train-small",
    "command": ["python", "train.py", "--lr", "0.1"],
    "per_task": {"accelerator": "H100", "count": 1, "cpus": 8, "memory_gib": 64},
    "time_limit": "2h",
    "simulate": "30s",
    "variables": {"EPOCHS": "10", "DATA": "/data/digits"},
}


def main() -> None:
    options = arguments(__doc__)
    count, waiting, seconds = (5_000, 500, 6.0) if options.quick else (100_000, 3_000, 30.0)
    print_machine()
    with scratch(options.folder) as folder:
        data = folder / "center"
        with center(data, "--simulate", CLUSTER) as running:
            asyncio.run(_fill(running))
        began = time.perf_counter()
        ids = store_jobs(data, count, waiting)
        print(f"{count:,} jobs stored in {time.perf_counter() - began:.0f} s, {waiting:,} of them waiting")
        running = start(data, "--simulate", CLUSTER)
        try:
            asyncio.run(_until_planned(running, ids["queued"][-1]))
            cpu_s, began = running.cpu_s, time.perf_counter()
            found = asyncio.run(drive(running, ids, seconds))
            busy = (running.cpu_s - cpu_s) / (time.perf_counter() - began)
            report(found, busy)
            print(f"memory: {running.rss_mb:.0f} MB, {verdict(running.rss_mb, 500, at_most=True)}")
            record(f"memory with {count:,} jobs stored", running.rss_mb, "MB", "at most", 500)
        finally:
            running.stop()


async def _fill(running: Center) -> None:
    """One job on every device, so that others wait, and one of the kind that is multiplied."""
    wire = await Wire.open(running.port)
    for spec in (FULL, SMALL):
        status, answer = await wire.ask(request("POST", "/jobs?org=acme", running.key, spec))
        if status != 201:
            raise SystemExit(f"{status} {answer!r}")
    wire.close()


async def _until_planned(running: Center, job: str) -> None:
    """Wait until the planner has a reason for the newest waiting job."""
    wire = await Wire.open(running.port)
    for _ in range(300):
        status, answer = await wire.ask(request("GET", f"/jobs/{job}/why", running.key))
        if status == 200 and json.loads(answer)["position"] is not None:
            break
        await asyncio.sleep(0.1)
    wire.close()


def store_jobs(data: Path, count: int, waiting: int) -> dict[str, list[str]]:
    """Multiply the small job: `waiting` queued ones, the rest ended over the last 90 days. Ids by state."""
    store = open_store(load_settings(data, {}))
    random_ = random.Random(1)
    template = dict(store.read(lambda tx: tx.rows(sa.select(jobs).where(jobs.c.name == "train-small")))[0])
    full = dict(store.read(lambda tx: tx.rows(sa.select(attempts)))[0])
    ids: dict[str, list[str]] = {"queued": [], "ended": []}
    clock = VirtualClock(template["submitted_us"] - 90 * 86_400 * US_PER_S)
    rng = SeededRng(1)
    step_s = 90 * 86_400 / count
    for first in range(0, count, 2000):
        rows, lines, tries = [], [], []
        for number in range(first, min(first + 2000, count)):
            clock.advance(step_s)
            job = _job(template, clock, rng, random_, number, queued=number >= count - waiting)
            ids["queued" if job["state"] == "queued" else "ended"].append(job["id"])
            rows.append(job)
            lines += _lines(job)
            if job["attempt_id"]:
                tries.append(_attempt(full, job))

        def write(tx: Any, rows: Any = rows, lines: Any = lines, tries: Any = tries) -> None:
            tx.execute(sa.insert(jobs), rows)
            tx.execute(sa.insert(state_events), lines)
            if tries:
                tx.execute(sa.insert(attempts), tries)

        store.write(write)
    store.close()
    return ids


def _job(
    template: dict[str, Any], clock: VirtualClock, rng: SeededRng, random_: random.Random, number: int, *, queued: bool
) -> dict[str, Any]:  # fmt: skip
    now_us = clock.now_us()
    job = template | {
        "id": new_id("job", clock, rng),
        "name": f"{random_.choice(('train', 'eval', 'tune', 'clean'))}-{number:06d}",
        "submitted_us": now_us,
        "priority": random_.choice((0, 0, 0, 1)),
        "attempt_id": None,
        "reason": None,
        "reason_code": None,
    }
    if queued:
        return job | {"state": "queued"}
    state = random_.choices([name for name, _ in ENDED], [share for _, share in ENDED])[0]
    return job | {
        "state": state,
        "attempts": 1,
        "attempt_id": new_id("att", clock, rng),
        "started_us": now_us + 2 * US_PER_S,
        "ended_us": now_us + 600 * US_PER_S,
        "exit_code": 0 if state == "succeeded" else 1,
        "reason_code": None if state == "succeeded" else state,
    }


def _lines(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    way = (
        ["queued"] if job["state"] == "queued" else ["queued", "placed", "starting", "running", job["state"]]
    )
    before = None
    for number, state in enumerate(way):
        yield {
            "entity_id": job["id"],
            "from_state": before,
            "to_state": state,
            "event": "submit" if number == 0 else "move",
            "reason": None,
            "at_us": job["submitted_us"] + number,
        }
        before = state


def _attempt(full: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    task = full["placement"]["tasks"][0]
    return full | {
        "id": job["attempt_id"],
        "job_id": job["id"],
        "state": "ended",
        "placement": {**full["placement"], "tasks": [{**task, "devices": task["devices"][:1]}]},
        "hold_id": None,
        "placed_us": job["submitted_us"],
        "started_us": job["started_us"],
        "ended_us": job["ended_us"],
        "end_reason": "exited",
        "exit_code": job["exit_code"],
        "due_us": None,
        "lease_token": None,
        "lease_until_us": None,
    }


def questions(key: str, ids: dict[str, list[str]], seed: int) -> Iterator[tuple[str, bytes]]:
    """What is asked, kind by kind, for ever."""
    random_ = random.Random(seed)
    ended, queued = ids["ended"], list(ids["queued"])
    lists = (
        "",
        "&state=failed",
        "&state=queued&limit=50",
        "&name=tune",
        "&name=0999",
        "&state=running&state=queued",
    )
    while True:
        if random_.random() < 0.3:
            if random_.random() < 0.67 or not queued:
                yield "submit", request("POST", "/jobs?org=acme", key, SMALL)
            else:
                job = queued.pop(random_.randrange(len(queued)))
                yield "cancel", request("POST", f"/jobs/{job}/cancel", key)
            continue
        kind = random_.choice(("job", "job", "job", "list", "list", "page", "why", "timeline", "attempts", "nodes", "balance"))  # fmt: skip
        job = random_.choice(ended)
        path = {
            "job": f"/jobs/{job}",
            "list": f"/jobs?org=acme{random_.choice(lists)}",
            "page": f"/jobs?limit=100&cursor={base64.urlsafe_b64encode(job.encode()).decode()}",
            "why": f"/jobs/{random_.choice(ids['queued'])}/why",
            "timeline": f"/jobs/{job}/timeline",
            "attempts": f"/jobs/{job}/attempts",
            "nodes": "/nodes",
            "balance": "/orgs/acme/balance",
        }[kind]
        yield kind, request("GET", path, key)


async def drive(running: Center, ids: dict[str, list[str]], seconds: float) -> dict[str, list[float]]:
    """Send them on schedule; seconds of each, by kind, from when it was due."""
    wires: asyncio.Queue[Wire] = asyncio.Queue()
    for _ in range(WIRES):
        wires.put_nowait(await Wire.open(running.port))
    found: dict[str, list[float]] = {}
    asked = questions(running.key, ids, 7)
    began = time.perf_counter()

    async def one(kind: str, encoded: bytes, due_s: float) -> None:
        wire = await wires.get()
        status, answer = await wire.ask(encoded)
        found.setdefault(kind, []).append(time.perf_counter() - due_s)
        if status not in (200, 201):
            raise RuntimeError(f"{kind}: {status} {answer[:500]!r}")
        wires.put_nowait(wire)

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * PER_S)):
            due_s = began + number / PER_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            group.create_task(one(*next(asked), due_s))
    return found


def report(found: dict[str, list[float]], busy: float) -> None:
    """Percentiles by kind, and of reads and writes together."""
    for kind, seconds in sorted(found.items()):
        print(f"  {kind:9s} {len(seconds):5d} ×  p50 {percentile(seconds, 50) * 1000:6.1f} ms  "
              f"p99 {percentile(seconds, 99) * 1000:6.1f} ms  max {max(seconds) * 1000:6.1f} ms")  # fmt: skip
    writes = found.pop("submit", []) + found.pop("cancel", [])
    reads = [value for seconds in found.values() for value in seconds]
    for name, values, bound in (("reads", reads, 50), ("writes", writes, 200)):
        high = percentile(values, 99) * 1000
        print(f"{name}: p50 {percentile(values, 50) * 1000:.1f} ms, p99 {high:.1f} ms, "
              f"{verdict(high, bound, at_most=True)} ms at {PER_S} requests/s")  # fmt: skip
        record(f"p99 of {name} at {PER_S} requests/s", high, "ms", "at most", bound)
    print(f"the server used {busy:.0%} of a core")


if __name__ == "__main__":
    main()
