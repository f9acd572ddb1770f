"""How long an estimate and a quote take, beside their bounds.

    python benchmarks/quote.py [--repeats 20]

One ordinary estimate (bound 50 ms), all layouts of 1,024 accelerators (bound 1 s), and whole quotes with the planner asked
for every offer: on a small center, and on 640 nodes with a thousand jobs that wait (bound 3 s, what a person waits for).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median

from results_table import record

from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.estimate import building
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.estimators import estimate_training
from pearlstreet.compute.estimate.learning import NOTHING
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import (
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
    node_row,
)
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.quotes.candidates import candidates
from pearlstreet.quotes.estimating import Background, Unfit, estimate
from pearlstreet.quotes.model import Energy, Start, Wanted, Workload
from pearlstreet.quotes.offer_spec import read_draft
from pearlstreet.quotes.offers import Terms, make_offers
from pearlstreet.quotes.start_estimate import Submitter, expected_start
from pearlstreet.workload.spec.model import JobSpec

NOW_US = 1_700_000_000_000_000
PRICES = PriceVersion("price", 1, 0, "UTC", "", (
    PriceRule("accelerator/*", "card_hour", 5_000_000), PriceRule("cpu", "core_hour", 120_000),
    PriceRule("memory", "gib_hour", 20_000),
))  # fmt: skip
TUNING = Workload(model=building.Model("Llama 3.1 8B"), tokens=1e10, mode="full")
SUBMITTER = Submitter("o", "p", "u", "default")


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds, after one run that loads what is loaded once."""
    work()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took)


def say(what: str, seconds: float, bound_s: float) -> None:
    """One line: time, bound, ratio."""
    line = f"{what:<58} {seconds * 1e3:8.1f} ms   bound {bound_s * 1e3:6.0f} ms   ratio {seconds / bound_s:.3f}\n"
    sys.stdout.write(line)
    record(what, seconds * 1e3, "ms", "at most", bound_s * 1e3)


def one_estimate(model: str, count: int) -> object:
    """A training estimate with all its layouts."""
    run = building.training(
        building.Model(model), building.Machines("h100-sxm-80g", count, 8), catalogue(), tokens=1e12
    )
    return estimate_training(run)


def center(cluster: str, waiting: int) -> Snapshot:
    """Nodes, on a busy one of which everything runs, and equally large jobs that wait."""
    rows = [node_row(report) for report in nodes_from(cluster)]
    jobs = [
        WaitingJob(f"w{number}", f"o{number % 20}", "p", Request(("any",), 8, cpu_milli=8000, memory_mib=65_536),
                   tasks=1 + number % 4, submitted_us=NOW_US - number, time_limit_s=3600.0 * (1 + number % 24))
        for number in range(waiting)
    ]  # fmt: skip
    running = [_busy(row, number) for number, row in enumerate(rows)] if waiting else []
    return build(now_us=NOW_US, nodes=rows, waiting=jobs, running=running, pflops_of=lambda model: 0.5)


def _busy(row: NodeRow, number: int) -> RunningAttempt:
    uses = tuple(DeviceUse(device.index) for device in row.devices)
    end_us = NOW_US + (1 + number % 48) * 3_600_000_000
    task = TaskUse(row.name, 8000, 65_536, uses)
    return RunningAttempt(
        f"a{number}",
        f"r{number}",
        f"o{number % 20}",
        "p",
        (task,),
        started_us=NOW_US - 1,
        expected_end_us=end_us,
    )


def quote(seen: Snapshot) -> int:
    """A whole quote without its database: candidates, estimates, prices, starts, choice. How many offers."""
    known, config = Background(catalogue(), NOTHING, ""), PlannerConfig()
    found = [(one, estimate(TUNING, one, known)) for one in candidates(seen, Wanted())]
    fit = [(one, made) for one, made in found if not isinstance(made, Unfit)]

    def start_of(spec: JobSpec, elapsed_s: Band) -> Start:
        return expected_start(seen, config, SUBMITTER, spec, elapsed_s)

    def nothing_known(it_kwh: Band, start_us: int, elapsed_s: Band) -> Energy:
        return Energy(it_kwh, None, None, None, None)

    draft = read_draft({"command": ["python", "train.py"]})
    terms = Terms(TUNING, draft, PRICES, nothing_known, lambda *_: None, start_of, NOW_US)
    return len(make_offers(fit, terms))


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=2 if os.environ.get("PEARL_BENCH_SMOKE") else 20)
    repeats = parser.parse_args().repeats
    say("an estimate: Llama 3.1 8B on 8", timed(lambda: one_estimate("Llama 3.1 8B", 8), repeats), 0.05)
    say("an estimate: Llama 3.1 70B on 64", timed(lambda: one_estimate("Llama 3.1 70B", 64), repeats), 0.05)
    say(
        "all layouts of 1,024: Llama 3.1 405B",
        timed(lambda: one_estimate("Llama 3.1 405B", 1024), repeats),
        1.0,
    )
    small = center("4x8xH100-80G,4x8xAscend910B", 0)
    say("a quote: 8 nodes, nothing waits", timed(lambda: quote(small), repeats), 3.0)
    large = center("512x8xH100-80G,128x8xAscend910B", 1000)
    say("a quote: 640 busy nodes, 1,000 jobs wait", timed(lambda: quote(large), max(1, repeats // 5)), 3.0)


if __name__ == "__main__":
    main()
