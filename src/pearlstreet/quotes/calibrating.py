"""Calibration of estimates by finished quoted jobs and node benchmarks: its rows, its factors, and their deletion.

Only a job that succeeded in its first attempt teaches: one that was cancelled, failed or displaced says nothing of how
long the work takes. Device factors are the center's; a recipe's factor belongs to its organisation alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import sqlalchemy as sa

from pearlstreet.compute.estimate import devices
from pearlstreet.compute.estimate.learning import (
    FARTHEST,
    Bench,
    Calibration,
    Finished,
    bench_of,
    calibrate,
)
from pearlstreet.compute.execution.metering import work_s
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.hardware.bench.result import BenchResult
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.pool.inventory import CHANGED
from pearlstreet.compute.pool.tables import benchmarks
from pearlstreet.quotes.model import Offer, State
from pearlstreet.quotes.serialization import offer_from_json
from pearlstreet.quotes.tables import lessons, quotes
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard
from pearlstreet.tenancy.model import Actor

LOOP = "calibration"
SCOPE_READ, SCOPE_RESET = "nodes:read", "nodes:write"
RUN, BENCH = "run", "bench"
MOST = 20_000
"""Number of lessons that calibrate estimates; older ones do not count."""
SOME = 200
PRECISIONS = ("bf16", "fp16")
"""Precisions of a node's benchmark in order of preference; the first that was measured counts."""
_KNOWN = (
    sa.select(lessons).where(lessons.c.forgotten_us.is_(None)).order_by(lessons.c.at_us.desc()).limit(MOST)
)
_ENDED_JOBS = (
    sa.select(quotes.c.id, quotes.c.job_id)
    .join(jobs, jobs.c.id == quotes.c.job_id)
    .where(quotes.c.teaches.is_(True), quotes.c.state == State.ACCEPTED.value)
    .where(jobs.c.state.in_([state.value for state in ENDED]))
    .order_by(quotes.c.id)
    .limit(SOME)
)
_NEWEST = sa.select(sa.func.max(benchmarks.c.id)).group_by(benchmarks.c.node)


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the calibration, with names."""

    device: str
    recipe: str
    """Recipe (organisation id/name) that the factor belongs to; empty: it holds for all work on the device."""
    org_id: str | None
    """Organisation that the recipe belongs to; None for a device's own factor."""
    factor: float
    """Factor that estimated times are multiplied by; a recipe's factor applies on top of its device's."""
    deviation: float
    """Standard deviation of the factor's logarithm."""
    runs: int
    benches: int


def read_calibration(tx: Tx) -> Calibration:
    """Return the calibration from all lessons that are not forgotten."""
    return calibration_of(tx.rows(_KNOWN))


def calibration_of(rows: Sequence[Row]) -> Calibration:
    """PURE: return the calibration that these lessons give."""
    runs = [
        Finished(row["device"], row["recipe"], row["expected"], row["actual"])
        for row in rows
        if row["kind"] == RUN
    ]
    benches = [Bench(row["device"], row["actual"], row["expected"]) for row in rows if row["kind"] == BENCH]
    return calibrate(runs, benches)


def recipe_key(org_id: str, recipe: str) -> str:
    """Return the key of a recipe's factor: its organisation and name, so that runs of other organisations do not count."""
    return f"{org_id}/{recipe}"[:200] if recipe else ""


def show_calibration(store: Store, actor: Actor) -> Sequence[Factor]:
    """Return factors of devices and of recipes of organisations that the actor may see, by device, then recipe."""
    actor.require(SCOPE_READ)
    found = store.read(read_calibration)
    mine = actor.orgs_with("jobs:read")
    shown = [
        Factor(device, "", None, one.factor, one.deviation, one.runs, one.benches)
        for device, one in found.devices.items()
    ]
    for (key, device), one in found.recipes.items():
        org_id, _, recipe = key.partition("/")
        if mine is None or org_id in mine:
            shown.append(Factor(device, recipe, org_id, one.factor, one.deviation, one.runs, 0))
    return sorted(shown, key=lambda one: (one.device, one.org_id or "", one.recipe))


def reset_calibration(
    store: Store,
    actor: Actor,
    *,
    device: str | None = None,
    recipe: str | None = None,
    org_id: str | None = None,
) -> int:
    """Forget lessons of a device, of a recipe (of an organisation), or all; returns their number.

    Raises Forbidden.
    """
    actor.require(SCOPE_RESET)

    def command(tx: Tx) -> int:
        where: list[sa.ColumnElement[bool]] = [lessons.c.forgotten_us.is_(None)]
        if device is not None:
            entry = devices.find(device, catalogue())
            where.append(lessons.c.device == (entry.id if entry is not None else device))
        if recipe is not None:
            where.append(lessons.c.recipe == lessons.c.org_id + f"/{recipe}")
        if org_id is not None:
            where.append(lessons.c.org_id == org_id)
        count = tx.execute(sa.update(lessons).where(*where).values(forgotten_us=tx.now_us)).rowcount
        details = {"device": device, "recipe": recipe, "org": org_id, "lessons": count}
        audit.record(
            tx, actor=actor.label, action="calibration.reset", target=device or "all", details=details
        )
        return int(count)

    return store.write(command)


def calibration_loop() -> Loop:
    """Return the loop that turns ended jobs and node benchmarks into lessons."""
    learner = Learner()
    return CycleLoop(name=LOOP, cycle=learner.look, hints=(CHANGED,), interval_s=15.0)


@dataclass(slots=True)
class Learner:
    """Looks for ended jobs of accepted quotes and for new node benchmarks."""

    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))
    seen: str = ""
    """Id of the newest benchmark that was read."""

    def look(self, store: Store) -> bool:
        """Learn from both once; True: more jobs are waiting."""
        found = store.read(lambda tx: tx.rows(_ENDED_JOBS))
        self.guard.keep([row["id"] for row in found])
        for row in found:
            self.guard.run(store, row["id"], partial(store.write, partial(_learn_from, row["id"])))
        newest = store.read(lambda tx: tx.scalar(sa.select(sa.func.max(benchmarks.c.id))))
        if newest is not None and newest != self.seen:
            store.write(_learn_benches)
            self.seen = newest
        return len(found) == SOME


def _learn_from(quote_id: str, tx: Tx) -> None:
    row = tx.first(sa.select(quotes).where(quotes.c.id == quote_id))
    if row is None or not row["teaches"]:
        return
    tx.execute(sa.update(quotes).where(quotes.c.id == quote_id).values(teaches=False))
    offer = next(offer_from_json(one) for one in row["offers"] if one["id"] == row["accepted"])
    actual_s = taken_device_s(tx, row["job_id"], offer)
    entry = devices.find(offer.accelerator, catalogue())
    if actual_s is None or entry is None or is_mostly_overhead(offer) or is_too_fast(offer, actual_s):
        return
    lesson = {
        "kind": RUN,
        "subject": row["job_id"],
        "device": entry.id,
        "source": quote_id,
        "org_id": row["org_id"],
        "recipe": row["recipe"],
        "expected": offer.untaught_device_s + offer.overhead_device_s,
        "actual": actual_s,
        "at_us": tx.now_us,
        "forgotten_us": None,
    }
    tx.execute(sa.insert(lessons).values(**lesson))


def is_too_fast(offer: Offer, device_s: float) -> bool:
    """PURE: return whether a run was too fast to have done the quoted work.

    It took less than a quarter of the estimate, or its devices would have exceeded their rated peak."""
    work_device_s = offer.device_s.median - offer.overhead_device_s
    peak = 0.0 if offer.utilisation is None else offer.utilisation * work_device_s
    return device_s < max(offer.untaught_device_s * math.exp(-FARTHEST), peak)


def is_mostly_overhead(offer: Offer) -> bool:
    """PURE: return whether start-up, loading and saving take more than half of the quoted time.

    Such a run says little about how fast the devices compute."""
    return offer.overhead_device_s > offer.device_s.median / 2


def taken_device_s(tx: Tx, job_id: str, offer: Offer) -> float | None:
    """Return the device seconds of a job that may calibrate estimates; None if it may not."""
    job = tx.first(sa.select(jobs).where(jobs.c.id == job_id))
    if job is None or job["state"] != JobState.SUCCEEDED.value or job["attempts"] != 1:
        return None
    tried = tx.first(sa.select(attempts).where(attempts.c.id == job["attempt_id"]))
    if tried is None or tried["started_us"] is None or tried["ended_us"] is None:
        return None
    if tried["usage"].get("model") != offer.accelerator:
        return None
    took_s = work_s(tried, tried["ended_us"]) * offer.count
    return took_s if took_s > 0 else None


def _learn_benches(tx: Tx) -> None:
    """Turn the newest benchmark of each node into a lesson, once."""
    have = {
        (row["subject"], row["device"]): row["source"]
        for row in tx.rows(sa.select(lessons).where(lessons.c.kind == BENCH))
    }
    for row in tx.rows(sa.select(benchmarks).where(benchmarks.c.id.in_(_NEWEST))):
        for device, bench in benches_of(row["result"]).items():
            if have.get((row["node"], device)) == row["id"]:
                continue
            here = (
                (lessons.c.kind == BENCH) & (lessons.c.subject == row["node"]) & (lessons.c.device == device)
            )
            tx.execute(sa.delete(lessons).where(here))
            lesson = {
                "kind": BENCH,
                "subject": row["node"],
                "device": device,
                "source": row["id"],
                "org_id": None,
                "recipe": "",
                "expected": bench.expected_tflops,
                "actual": bench.measured_tflops,
                "at_us": row["at_us"],
                "forgotten_us": None,
            }
            tx.execute(sa.insert(lessons).values(**lesson))


def benches_of(result: Mapping[str, object]) -> dict[str, Bench]:
    """PURE: return for each device model of a node the median measured and the expected TFLOPS."""
    try:
        measured = BenchResult.from_json(json.dumps(dict(result))).devices
    except ValueError:
        return {}  # of an older form: measure again
    found: dict[str, list[Bench]] = {}
    for device in measured:
        if device.index is None:
            continue
        for precision in PRECISIONS:
            bench = bench_of(device, catalogue(), precision)
            if bench is not None and bench.measured_tflops > 0 and bench.expected_tflops > 0:
                found.setdefault(bench.device, []).append(bench)
                break
    return {
        device: Bench(device, median(one.measured_tflops for one in seen), seen[0].expected_tflops)
        for device, seen in found.items()
    }
