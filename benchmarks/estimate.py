"""How far estimates are off on rows that they were not fitted to, against a constant MFU and 6·N·D in the same run.

`PEARL_ESTIMATE_DATA=folder python benchmarks/estimate.py [--seeds 2]`; without the folder it says so and passes.
Cross-validation is by group (a sweep is never split); then whole families, accelerators and sizes are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results_table import record

from pearlstreet.compute.estimate import measured
from pearlstreet.compute.estimate.devices import device, find
from pearlstreet.compute.estimate.estimators import estimate_training
from pearlstreet.compute.estimate.model import Training
from pearlstreet.compute.estimate.shapes import architecture
from pearlstreet.compute.hardware.catalogue import catalogue

VARIABLE = "PEARL_ESTIMATE_DATA"
Array = NDArray[np.float64]


def say(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(line + "\n")


def errors(logs: Array) -> str:
    """Median and 90 % quantile of the relative error of estimates, from logarithms of seen over estimated."""
    relative = np.abs(np.expm1(-logs))
    return f"median {np.median(relative):6.1%}   p90 {np.quantile(relative, 0.9):6.1%}   rows {len(logs)}"


def covered(left: Array, stretch: float) -> str:
    """Share of rows between P10 and P90."""
    return f"P10-P90 covers {np.mean(np.abs(left[:, 0]) <= measured.Z80 * stretch * left[:, 1]):.0%}"


def bands(left: Array, groups: Sequence[str]) -> str:
    """Coverage where the stretch is fitted on half of the groups and tried on the other half, both ways."""
    half = measured.folds(groups, 2, 7)
    inside = [
        np.abs(left[half == side, 0])
        <= measured.Z80 * measured.stretch(left[half != side]) * left[half == side, 1]
        for side in (0, 1)
    ]
    return f"P10-P90 covers {np.mean(np.concatenate(inside)):.0%} of the other half"


def constant_mfu(rows: measured.Evidence, fold: NDArray[np.intp]) -> Array:
    """The same rows by 6·N·D (3 × forward for samples) and the median MFU of the other folds."""
    ideal = []
    for row in rows.runs:
        run = row.question.run
        flops = 6.0 * run.architecture.active
        if run.architecture.forward_flops is not None:
            flops = 3.0 * run.architecture.forward_flops
        ideal.append(flops / run.hardware.peak)
    off = np.log([row.seen for row in rows.runs]) - np.log(ideal)
    found = np.zeros(len(off))
    for one in np.unique(fold):
        found[fold == one] = off[fold == one] - np.median(off[fold != one])
    return found


def regret(rows: measured.Evidence, left: Array) -> Array:
    """Time of the advised layout over the best measured one, less one; per model, cards and batch."""
    seen = np.log([row.seen for row in rows.steps])
    estimated = seen - left
    groups: dict[tuple[object, ...], list[int]] = {}
    for at, row in enumerate(rows.steps):
        run = row.question.run
        shape = run.architecture
        groups.setdefault((shape.layers, shape.hidden, run.hardware.count, run.batch), []).append(at)
    found = [
        np.exp(seen[at[int(np.argmin(estimated[at]))]] - seen[at].min())
        for at in (np.array(rows_) for rows_ in groups.values() if len(rows_) > 1)
    ]
    return np.array(found) - 1.0


def left_out(rows: measured.Evidence, name: str, level: Callable[[Training], str], stretch: float) -> None:
    """Every level that at least five rows have is left out entirely, and estimated by what the others taught."""
    levels = np.array([level(row.question.run) for row in rows.runs])
    all_steps = np.ones(len(rows.steps), bool)
    for one in sorted(set(levels)):
        out = levels == one
        if out.sum() < 5:
            continue
        fitted = measured.fit_training(rows, ~out, all_steps)
        logs = measured.run_logs(
            fitted, [row.question.run for row, gone in zip(rows.runs, out, strict=True) if gone]
        )
        off = np.log([row.seen for row, gone in zip(rows.runs, out, strict=True) if gone]) - logs[:, 0]
        say(
            f"  without {name} {one:18} {errors(off)}   {covered(np.column_stack([off, logs[:, 1]]), stretch)}"
        )


def speed() -> None:
    """How long one estimate and all layouts of 1,024 accelerators take."""
    book = catalogue()
    entry = find("h100-sxm-80g", book)
    assert entry is not None
    for count, batch, bound_ms in ((8, 64.0, 50), (1024, 2048.0, 1000)):
        hardware = device(entry, "bf16", count, book)
        assert hardware is not None
        shape = architecture(family="dense-transformer", params=70e9, name="Llama 3 70B")
        run = Training(shape, hardware, "bf16", "pretrain", 8192, batch, tokens=1e12)
        layouts, taken = 0, []
        for _ in range(6):
            started = time.perf_counter()
            layouts = len(estimate_training(run).layouts)
            taken.append((time.perf_counter() - started) * 1e3)
        say(f"  {count} accelerators, {layouts} layouts: {min(taken):.0f} ms, first {taken[0]:.0f} ms")
        record(
            f"estimate of {count:,} accelerators, {layouts} layouts", min(taken), "ms", "at most", bound_ms
        )


def main() -> int:
    """Print everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--quick",
        action="store_true",
        default=bool(os.environ.get("PEARL_BENCH_SMOKE")),
        help="without leaving out families, accelerators and sizes",
    )
    options = parser.parse_args()
    say("speed (one process)")
    speed()
    folder = os.environ.get(VARIABLE)
    if not folder:
        say(f"accuracy: skipped, {VARIABLE} does not name the folder with {', '.join(measured.FILES)}")
        return 0
    rows = measured.evidence([(Path(folder) / name).read_bytes() for name in measured.FILES], catalogue())
    groups = [row.group for row in rows.runs]
    stretch = 1.0
    for seed in range(options.seeds):
        left = measured.cross_validate(rows, seed=seed)
        stretch = measured.stretch(left.runs)
        say(f"cross-validation, five folds by group, seed {seed}")
        say(f"  training runs        {errors(left.runs[:, 0])}   {bands(left.runs, groups)}")
        plain = constant_mfu(rows, measured.folds(groups, 5, seed))
        say(f"  constant MFU, 6ND    {errors(plain)}")
        ours, theirs = (100 * float(np.median(np.abs(np.expm1(-logs)))) for logs in (left.runs[:, 0], plain))
        record(f"median error of training estimates, seed {seed}", ours, "%", "constant MFU, 6ND", theirs)
        say(f"  iteration times      {errors(left.steps[:, 0])}")
        say(f"  both                 {errors(np.concatenate([left.runs[:, 0], left.steps[:, 0]]))}")
        worse = regret(rows, left.steps[:, 0])
        say(
            f"  layout advice        median {np.median(worse):6.1%}   p90 {np.quantile(worse, 0.9):6.1%} slower than best"
        )
        serving_groups = [row.group for row in rows.servings]
        say(f"  serving throughput   {errors(left.servings[:, 0])}   {bands(left.servings, serving_groups)}")
        say(f"  memory               {errors(left.memories[:, 0])}")
    if not options.quick:
        say("left out entirely")
        left_out(rows, "family", lambda run: run.architecture.family, stretch)
        left_out(rows, "chip", lambda run: run.hardware.chip, stretch)
        left_out(rows, "size", lambda run: _size(run), stretch)
    return 0


def _size(run: Training) -> str:
    edges = ((1e9, "below 1B"), (1e10, "1B to 10B"), (1e11, "10B to 100B"), (1e15, "above 100B"))
    return next(name for edge, name in edges if run.architecture.params < edge)


if __name__ == "__main__":
    sys.exit(main())
