"""Rows with what was observed, for fitting and for checking. Estimates never come here: see table.py."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate import (
    effects,
    fitting,
    memory_points,
    reading,
    serving_fitting,
    serving_rows,
)
from pearlstreet.compute.estimate.constants import Constants
from pearlstreet.compute.estimate.memory_points import DEFAULT
from pearlstreet.compute.estimate.model import Hardware, Training
from pearlstreet.compute.estimate.samples import sample_seconds
from pearlstreet.compute.estimate.serving import serve
from pearlstreet.compute.estimate.table import Cells, read_table
from pearlstreet.compute.hardware.catalogue import Catalogue

Q = TypeVar("Q", reading.Question, serving_rows.ServingQuestion)
Z80 = 1.2816
"""Standard deviations on either side of the mean that contain 80 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Measured(Generic[Q]):
    """A question, what was observed, and the sweep that it belongs to: rows of one sweep stay together in a fold."""

    question: Q
    seen: float
    group: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All rows that constants are fitted to."""

    runs: Sequence[Measured[reading.Question]]
    steps: Sequence[Measured[reading.Question]]
    servings: Sequence[Measured[serving_rows.ServingQuestion]]
    memories: Sequence[Measured[reading.Question]]


FILES = ("training_runs.csv", "iteration_times.csv", "inference_runs.csv", "memory_points.csv")


def evidence(contents: Sequence[bytes], book: Catalogue) -> Evidence:
    """Return the rows of FILES, in that order, that have an observation and are not marked as unfit for scoring."""
    training, iterations, inference, memory = contents
    return Evidence(
        _rows(training, book, reading.training, _run_seen, lambda row: row["group_key"]),
        _rows(
            iterations, book, reading.iteration, lambda row: _number(row, "iteration_ms", 1e-3),
            lambda row: "|".join(row[name] for name in ("params_b", "accel_count", "global_batch")),
        ),
        _rows(
            inference, book, _with_tokens, lambda row: _number(row, "output_tokens_per_s"), lambda row: row["group_key"]
        ),
        _rows(
            memory, book, reading.memory_point, lambda row: _number(row, "memory_gib"),
            lambda row: "|".join((row["model"], row["accel_count"], row["sharding"][:5])),
        ),
    )  # fmt: skip


def _with_tokens(row: Cells, book: Catalogue) -> serving_rows.ServingQuestion | None:
    found = serving_rows.serving(row, book)
    return found if found is not None and found.tokens else None


def _rows(
    content: bytes,
    book: Catalogue,
    ask: Callable[[Cells, Catalogue], Q | None],
    seen: Callable[[dict[str, str]], float | None],
    group: Callable[[dict[str, str]], str],
) -> list[Measured[Q]]:
    whole = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    found = []
    for row, cells in zip(whole, read_table(content).rows, strict=True):
        question, value = ask(cells, book), seen(row)
        scored = row.get("score_exclude", "no") == "no"
        if question is not None and value is not None and scored and not _hardware(question).peak_deviation:
            found.append(Measured(question, value, group(row)))
    return found


def _hardware(question: reading.Question | serving_rows.ServingQuestion) -> Hardware:
    return question.run.hardware if isinstance(question, reading.Question) else question.ask.hardware


def _run_seen(row: dict[str, str]) -> float | None:
    """Return device-seconds a token; a sample where the forward operations of one are given."""
    if row["fwd_gflops_per_sample"] and row["obs_accel_s_per_sample"]:
        return float(row["obs_accel_s_per_sample"])
    return _number(row, "obs_accel_s_per_mtoken", 1e-6)


def _number(row: dict[str, str], name: str, scale: float = 1.0) -> float | None:
    return float(row[name]) * scale if row[name] else None


def folds(groups: Sequence[str], count: int, seed: int) -> NDArray[np.intp]:
    """Return the fold of each row; a group is never split."""
    ranked = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    at = {name: place % count for place, name in enumerate(ranked)}
    return np.array([at[name] for name in groups], dtype=np.intp)


def fit_training(rows: Evidence, runs: NDArray[np.bool_], steps: NDArray[np.bool_]) -> fitting.Fitted:
    """Return constants from the chosen rows."""
    chosen = [row for row, use in zip(rows.runs, runs, strict=True) if use]
    timed = [row for row, use in zip(rows.steps, steps, strict=True) if use]
    # Large models are few among the steps and count for more.
    weights = np.array([2.0 if row.question.run.architecture.params > 5e9 else 0.5 for row in timed])
    return fitting.fit(
        [row.question.run for row in timed],
        np.array([row.seen for row in timed]),
        weights,
        [row.question.run for row in chosen],
        np.array([row.seen for row in chosen]),
        [row.group for row in chosen],
        DEFAULT,
    )


def run_logs(fitted_: fitting.Fitted, runs: Sequence[Training]) -> NDArray[np.float64]:
    """Return logarithms of (estimate, standard deviation) of device-seconds a token or sample, one row a run."""
    found = np.zeros((len(runs), 2))
    for line, run in enumerate(runs):
        mean, deviation = fitted_.effects.of(
            effects.features(run, run.hardware.chip), effects.feature_point(run)
        )
        base = (
            sample_seconds(run)
            if run.architecture.forward_flops is not None
            else float(fitting.pack([run], DEFAULT).per_token(fitted_.physics)[0])
        )
        found[line] = math.log(base) + mean, deviation
    return found


def step_logs(fitted_: fitting.Fitted, runs: Sequence[Training]) -> NDArray[np.float64]:
    """Return logarithms of seconds a step."""
    per_step = np.array([run.batch * run.sequence / run.hardware.count for run in runs])
    found: NDArray[np.float64] = np.log(fitting.pack(runs, DEFAULT).per_token(fitted_.physics) * per_step)
    return found


def fit_serving(rows: Sequence[Measured[serving_rows.ServingQuestion]]) -> fitting.Fitted:
    """Return constants of serving from the chosen rows."""
    return serving_fitting.fit(
        [row.question.ask for row in rows],
        [row.question.scenario for row in rows],
        np.array([row.seen for row in rows]),
        [row.group for row in rows],
    )


def serving_logs(
    fitted_: fitting.Fitted, rows: Sequence[Measured[serving_rows.ServingQuestion]]
) -> NDArray[np.float64]:
    """Return logarithms of (estimate, standard deviation) of output tokens a second."""
    found = np.zeros((len(rows), 2))
    for line, row in enumerate(rows):
        mean, deviation = fitted_.effects.of(
            serving_fitting.features(row.question.ask, row.question.scenario)
        )
        found[line] = (
            math.log(serve(row.question.ask, fitted_.physics)[0].output_tokens_per_s) + mean,
            deviation,
        )
    return found


@dataclass(frozen=True, slots=True)
class Left:
    """Errors of rows that were left out of the fit: logarithms of observed over estimated values, and predicted deviations."""

    runs: NDArray[np.float64]
    steps: NDArray[np.float64]
    servings: NDArray[np.float64]
    memories: NDArray[np.float64]


def cross_validate(rows: Evidence, count: int = 5, seed: int = 0) -> Left:
    """Return every row estimated by constants fitted without its group. Columns: error, deviation (before stretching)."""
    run_fold = folds([row.group for row in rows.runs], count, seed)
    step_fold = folds([row.group for row in rows.steps], count, seed)
    serving_fold = folds([row.group for row in rows.servings], count, seed)
    left_runs, left_steps = np.zeros((len(rows.runs), 2)), np.zeros((len(rows.steps), 2))
    left_servings = np.zeros((len(rows.servings), 2))
    for fold in range(count):
        fitted_ = fit_training(rows, run_fold != fold, step_fold != fold)
        at = [int(line) for line in np.flatnonzero(run_fold == fold)]
        logs = run_logs(fitted_, [rows.runs[line].question.run for line in at])
        left_runs[at, 0] = np.log([rows.runs[line].seen for line in at]) - logs[:, 0]
        left_runs[at, 1] = logs[:, 1]
        at = [int(line) for line in np.flatnonzero(step_fold == fold)]
        if len(at):
            estimated = step_logs(fitted_, [rows.steps[line].question.run for line in at])
            left_steps[at, 0] = np.log([rows.steps[line].seen for line in at]) - estimated
        at = [int(line) for line in np.flatnonzero(serving_fold == fold)]
        served = fit_serving(
            [row for row, own in zip(rows.servings, serving_fold, strict=True) if own != fold]
        )
        logs = serving_logs(served, [rows.servings[line] for line in at])
        left_servings[at, 0] = np.log([rows.servings[line].seen for line in at]) - logs[:, 0]
        left_servings[at, 1] = logs[:, 1]
    return Left(left_runs, left_steps, left_servings, _memory_left(rows))


def _memory_left(rows: Evidence) -> NDArray[np.float64]:
    left = np.zeros((len(rows.memories), 2))
    for group in sorted({row.group for row in rows.memories}):
        others = [row for row in rows.memories if row.group != group]
        recipes = memory_points.fit([row.question for row in others], [row.seen for row in others])
        for line, row in enumerate(rows.memories):
            if row.group == group:
                left[line, 0] = math.log(row.seen / memory_points.predicted_gib(row.question, recipes))
                left[line, 1] = 1.0 if memory_points.is_peak(row.question) else 1.0 / 3.0
    return left


def stretch(left: NDArray[np.float64]) -> float:
    """Return the multiplier of the deviations with which 80 % of the rows lie within P10 and P90."""
    return float(np.quantile(np.abs(left[:, 0]) / left[:, 1], 0.8)) / Z80


def fit_all(rows: Evidence, left: Left, source: dict[str, str]) -> Constants:
    """Return the constants that the program ships: fitted to all rows, bands from rows left out."""
    training = fit_training(rows, np.ones(len(rows.runs), bool), np.ones(len(rows.steps), bool))
    served = fit_serving(rows.servings)
    peaks = left.memories[left.memories[:, 1] == 1.0]
    return Constants(
        physics=training.physics,
        training=replace(training.effects, band=stretch(left.runs)),
        step_deviation=float(np.quantile(np.abs(left.steps[:, 0]), 0.8)) / Z80,
        serving_physics=served.physics,
        serving=replace(served.effects, band=stretch(left.servings)),
        memory=memory_points.fit(
            [row.question for row in rows.memories], [row.seen for row in rows.memories]
        ),
        memory_deviation=stretch(peaks),
        source=source,
    )
