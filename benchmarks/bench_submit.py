"""Durable submits per second from 16 clients, and how long an array of 10,000 keeps others waiting.

Every 201 is on disk (synchronous=FULL; commands that wait together share one sync). Compared in the same run, in the
same folder and with the same pragmas, with two bounds of one connection that does nothing else: (a) commits of one
short row; (b) commits of the very rows that a submit writes, into the same tables with the same indexes, without HTTP,
key, validation, prices or balance. And with two published peers: sbatch 196-279/s, slurmrestd 320-1,120/s.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

from center import (
    Center,
    Wire,
    arguments,
    center,
    database,
    load,
    median,
    percentile,
    print_machine,
    request,
    scratch,
    verdict,
)
from results_table import record

CLIENTS = 16
SBATCH_PER_S = (196, 279)
SLURMRESTD_PER_S = (320, 1120)
ARRAY = 10_000
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000")


def spec(name: str, cards: int, **more: Any) -> dict[str, Any]:
    """A small job."""
    per_task = {"accelerator": "any", "count": cards, "cpus": 1, "memory_gib": 1}
    return {
        "name": name,
        "command": ["true"],
        "per_task": per_task,
        "time_limit": "1h",
        "simulate": "600s",
    } | more


def main() -> None:
    options = arguments(__doc__)
    count, rounds, raw_s = (300, 1, 0.5) if options.quick else (3000, 5, 2.0)
    print_machine()
    with scratch(options.folder) as folder:
        with center(folder / "waiting", "--simulate", "1x8xH100-80G") as running:
            measure(running, "jobs that wait", spec("t", 8), count, rounds, raw_s)
            array(running, 1000 if options.quick else ARRAY)
        with center(folder / "starting", "--simulate", "512x8xH100-80G") as running:
            measure(running, "jobs that start at once", spec("t", 1), count, 1 if options.quick else 3, raw_s)


def measure(running: Center, label: str, job: dict[str, Any], count: int, rounds: int, raw_s: float) -> None:
    """Rounds of submits, each beside both bounds."""
    encoded = [request("POST", "/jobs?org=acme", running.key, job)] * count
    asyncio.run(load(running.port, encoded[:100], CLIENTS))
    found: dict[str, list[float]] = {name: [] for name in ("submits", "bare", "rows", "p50", "p99", "cpu")}
    for _ in range(rounds):
        found["bare"].append(bare_commits(running.data, raw_s))
        found["rows"].append(same_rows(running.data, raw_s))
        cpu_s = running.cpu_s
        per_s, seconds = asyncio.run(load(running.port, encoded, CLIENTS))
        found["cpu"].append((running.cpu_s - cpu_s) / count * 1000)
        found["submits"].append(per_s)
        found["p50"].append(percentile(seconds, 50) * 1000)
        found["p99"].append(percentile(seconds, 99) * 1000)
    with database(running.data) as known:
        stored = known.execute("SELECT count(*) FROM jobs WHERE array_id IS NULL").fetchone()[0]
    if stored != 100 + rounds * count:
        raise SystemExit(f"{stored} jobs are stored, {100 + rounds * count} were acknowledged")
    submits, bare, rows = (median(found[name]) for name in ("submits", "bare", "rows"))
    print(
        f"{label}: {submits:,.0f} durable submits/s from {CLIENTS} clients, {verdict(submits, 200, at_most=False)}"
    )
    print(f"  p50 {median(found['p50']):.0f} ms, p99 {median(found['p99']):.0f} ms; "
          f"{median(found['cpu']):.2f} ms of the server's CPU each, planning included")  # fmt: skip
    print(
        f"  (a) {bare:,.0f} bare one-row commits/s: {submits / bare:.0%}, {verdict(submits / bare, 0.5, at_most=False)}"
    )
    print(f"  (b) {rows:,.0f} commits/s of the same rows: {submits / rows:.0%}, {verdict(submits / rows, 0.5, at_most=False)}")  # fmt: skip
    for name, (low, high) in (("sbatch", SBATCH_PER_S), ("slurmrestd", SLURMRESTD_PER_S)):
        print(f"  {name} {low}-{high}/s: {submits / high:.2f} to {submits / low:.2f} times that")
        record(f"durable submits, {label}", submits, "/s", f"{name}, at best", high)
    record(f"durable submits, {label}", submits, "/s", "bare one-row commits", bare)
    record(f"durable submits, {label}", submits, "/s", "commits of the same rows", rows)


def array(running: Center, size: int) -> None:
    """One array of `size`, while another client goes on submitting."""
    whole = request("POST", "/jobs?org=acme", running.key, spec("many", 8, array={"size": size}))
    small = request("POST", "/jobs?org=acme", running.key, spec("t", 8))
    accepted_s, others = asyncio.run(array_beside(running, whole, small))
    print(f"array of {size:,}: accepted in {accepted_s:.2f} s, {verdict(accepted_s, 2, at_most=True)}")
    record(f"array of {size:,} accepted", accepted_s, "s", "at most", 2)
    worst = percentile(others, 99)
    print(f"  submits of another client meanwhile and for 5 s after: p50 {percentile(others, 50) * 1000:.0f} ms, "
          f"p99 {worst * 1000:.0f} ms, {verdict(worst, 0.5, at_most=True)} s")  # fmt: skip
    record("p99 of submits beside the array", worst, "s", "at most", 0.5)


async def array_beside(running: Center, whole: bytes, small: bytes) -> tuple[float, list[float]]:
    """How long the array took, and each submit of the other client."""
    others: list[float] = []
    ending = asyncio.Event()

    async def beside() -> None:
        wire = await Wire.open(running.port)
        while not ending.is_set():
            began = time.perf_counter()
            await wire.ask(small)
            others.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(beside())
    await asyncio.sleep(0.5)
    wire = await Wire.open(running.port)
    began = time.perf_counter()
    status, answer = await wire.ask(whole)
    took_s = time.perf_counter() - began
    if status != 201:
        raise SystemExit(f"{status} {answer!r}")
    await asyncio.sleep(5)
    ending.set()
    await task
    return took_s, others


def bare_commits(folder: Path, seconds: float) -> float:
    """Bound (a): commits per second of one short row."""
    raw = _raw(folder / "bare.db")
    raw.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT)")
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO t (v) VALUES (?)", ("x" * 100,))
        raw.execute("COMMIT")
        count += 1
    raw.close()
    return count / seconds


def same_rows(folder: Path, seconds: float) -> float:
    """Bound (b): commits per second of a job's row and the first line of its timeline."""
    raw = _raw(folder / "rows.db")
    with database(folder) as known:
        kept = known.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('jobs', 'state_events') AND sql NOT NULL"
        )
        definitions = [row[0] for row in kept]
        job = known.execute("SELECT * FROM jobs LIMIT 1").fetchone()
        line = known.execute("SELECT * FROM state_events WHERE entity_id = ?", (job[0],)).fetchone()
    if not raw.execute("SELECT 1 FROM sqlite_master").fetchone():
        for definition in definitions:
            raw.execute(definition)
    insert_job = f"INSERT INTO jobs VALUES ({','.join('?' * len(job))})"
    insert_line = f"INSERT INTO state_events VALUES ({','.join('?' * len(line))})"
    first = raw.execute("SELECT count(*) FROM jobs").fetchone()[0]
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        row_id = f"job_{first + count:026d}"
        raw.execute("BEGIN IMMEDIATE")
        raw.execute(insert_job, (row_id, *job[1:]))
        raw.execute(insert_line, (None, row_id, *line[2:]))
        raw.execute("COMMIT")
        count += 1
    raw.close()
    return count / seconds


def _raw(file: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(file, isolation_level=None)
    for pragma in PRAGMAS:
        raw.execute(f"PRAGMA {pragma}")
    return raw


if __name__ == "__main__":
    main()
