"""From submit to running on this machine's own engine, alone and with 20 jobs a second arriving, and 500 tasks to the end.

The engine is the real one: every job gets its own supervisor, session, folder and sandbox. Peers: Slurm starts a job
0.70 s after submit (p50, sbatch to running) and ends 56 jobs a second (slurmctld and one slurmd on one machine).
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from center import (
    Center,
    Wire,
    arguments,
    center,
    database,
    median,
    percentile,
    print_machine,
    request,
    scratch,
    verdict,
)
from results_table import record

SLURM_START_S = 0.70
SLURM_PER_S = 56
PER_S = 20
TASK = {"cpus": 0.05, "memory_gib": 0.05}


def main() -> None:
    options = arguments(__doc__)
    alone, stream_s, elements = (5, 3, 50) if options.quick else (30, 20, 500)
    print_machine()
    with scratch(options.folder) as folder, center(folder / "center") as running:
        asyncio.run(one_by_one(running, "warm", 3))
        asyncio.run(one_by_one(running, "alone", alone))
        show(running, "alone", "one job at a time")
        asyncio.run(stream(running, "stream", stream_s))
        show(running, "stream", f"{PER_S} jobs/s arriving")
        took_s = asyncio.run(array(running, elements))
        per_s = elements / took_s
        print(f"{elements} tasks that run `true`: {took_s:.1f} s, {per_s:.1f}/s: "
              f"{per_s / SLURM_PER_S:.2f} times Slurm's {SLURM_PER_S}/s")  # fmt: skip
        record(f"{elements} tasks to their end", per_s, "/s", "Slurm", SLURM_PER_S)


def job(name: str, command: list[str], **more: Any) -> dict[str, Any]:
    """A small job."""
    return {"name": name, "command": command, "per_task": TASK, "time_limit": "10m"} | more


async def one_by_one(running: Center, name: str, count: int) -> None:
    """Each is over before the next is submitted."""
    wire = await Wire.open(running.port)
    for _ in range(count):
        made = await ask(wire, request("POST", "/jobs?org=acme", running.key, job(name, ["sleep", "0.2"])))
        await over(running, wire, made["id"])
        await asyncio.sleep(0.1)
    wire.close()


async def stream(running: Center, name: str, seconds: float) -> None:
    """Jobs on a fixed schedule; returns when all are over."""
    wires = [await Wire.open(running.port) for _ in range(8)]
    encoded = request("POST", "/jobs?org=acme", running.key, job(name, ["sleep", "0.2"]))
    began, last = time.perf_counter(), ""
    for number in range(int(seconds * PER_S)):
        await asyncio.sleep(max(0.0, began + number / PER_S - time.perf_counter()))
        last = (await ask(wires[number % 8], encoded))["id"]
    await over(running, wires[0], last)
    while (await ask(wires[0], request("GET", "/jobs?state=queued&state=running", running.key)))["items"]:
        await asyncio.sleep(0.2)
    for wire in wires:
        wire.close()


async def array(running: Center, size: int) -> float:
    """Seconds from submit to the end of the last element."""
    wire = await Wire.open(running.port)
    whole = job("array", ["true"], array={"size": size})
    began = time.perf_counter()
    made = await ask(wire, request("POST", "/jobs?org=acme", running.key, whole))
    ended = await over(running, wire, made["id"])
    took_s = time.perf_counter() - began
    if ended["state"] != "succeeded":
        raise SystemExit(f"the array ended {ended['state']}: {ended['reason']} {ended['counts']}")
    wire.close()
    return took_s


async def ask(wire: Wire, encoded: bytes) -> Any:
    """The JSON of an answer that must be right."""
    status, answer = await wire.ask(encoded)
    if status not in (200, 201):
        raise RuntimeError(f"{status} {answer[:500]!r}")
    return json.loads(answer)


async def over(running: Center, wire: Wire, job_id: str) -> Any:
    """Wait for the end of a job."""
    while True:
        found = await ask(wire, request("GET", f"/jobs/{job_id}", running.key))
        if found["state"] in ("succeeded", "failed", "cancelled"):
            return found
        await asyncio.sleep(0.05)


def show(running: Center, name: str, label: str) -> None:
    """Submit → the process runs, and → the center says `running`, from the center's own records."""
    query = """
        SELECT submitted_us, started_us, state,
               (SELECT min(at_us) FROM state_events e WHERE e.entity_id = jobs.id AND e.to_state = 'running'),
               (SELECT min(at_us) FROM state_events e WHERE e.entity_id = jobs.id AND e.to_state = 'placed')
        FROM jobs WHERE name = ?"""
    with database(running.data) as known:
        rows = known.execute(query, (name,)).fetchall()
    wrong = [row for row in rows if row[2] != "succeeded"]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(rows)} jobs did not succeed")
    placed = [(row[4] - row[0]) / 1e6 for row in rows]
    runs = [(row[1] - row[0]) / 1e6 for row in rows]
    said = [(row[3] - row[0]) / 1e6 for row in rows]
    half = median(runs)
    print(f"{label} ({len(rows)}): submit to placed p50 {median(placed):.3f} s; to the process p50 {half:.3f} s, "
          f"p99 {percentile(runs, 99):.3f} s; until the center says running p50 {median(said):.3f} s")  # fmt: skip
    print(f"  p50 to the process {verdict(half, 0.5, at_most=True)} s; "
          f"{half / SLURM_START_S:.2f} of Slurm's {SLURM_START_S:.2f} s")  # fmt: skip
    record(f"p50 from submit to the process, {label}", half, "s", "Slurm", SLURM_START_S)


if __name__ == "__main__":
    main()
