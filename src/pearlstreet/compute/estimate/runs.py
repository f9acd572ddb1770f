"""A file of runs → predictions of everything that applies to each row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate import memory_points, reading, serving_rows
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.constants import Constants, constants
from pearlstreet.compute.estimate.effects import PRIORS
from pearlstreet.compute.estimate.estimators import estimate_serving, estimate_training
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.model import Training
from pearlstreet.compute.estimate.step_question import step_seconds
from pearlstreet.compute.estimate.table import Cells, Table, read_table
from pearlstreet.compute.hardware.catalogue import Catalogue, catalogue

COLUMNS = ("id", "metric", "pred", "p10", "p90")
STEPS_MEASURED_ON = "a100"
SAMPLE_FAMILIES = ("encoder", "vision", "diffusion", "other")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Estimate of one row of a file of runs."""

    id: str
    metric: str
    band: Band


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions, and why other rows have none."""

    kind: str
    rows: int
    predictions: tuple[Prediction, ...]
    wrong: tuple[Problem, ...]
    """Cells that cannot be right; their rows have no prediction."""
    skipped: tuple[Problem, ...]
    """Valid rows for which too little is known: an accelerator without figures, a model without a size."""


UNKNOWN = frozenset(
    (
        "The catalogue has no accelerator called {name}",
        "The catalogue knows no figure of {name}",
        "Nothing says how large the model is",
        "Without output_len there are no tokens to predict",
    )
)


def predict(content: bytes | str, *, book: Catalogue | None = None, known: Constants | None = None) -> Answer:
    """Predictions for a file with the columns of training runs, inference runs, iteration times or memory points.

    Raises InvalidInput when it is no such file; what is wrong in single rows is in the answer.
    """
    table = read_table(content)
    return answer(table, book or catalogue(), known or constants())


def answer(table: Table, book: Catalogue, known: Constants) -> Answer:
    """Return predictions for the rows of a table."""
    found: list[Prediction] = []
    wrong: list[Problem] = []
    skipped: list[Problem] = []
    for row in table.rows:
        bands = {} if row.problems else _bands(table, row, book, known)
        found += [Prediction(row.id, metric, band) for metric, band in bands.items()]
        unknown = all(problem.message.template in UNKNOWN for problem in row.problems)
        (skipped if unknown else wrong).extend(row.problems)
    return Answer(table.kind, len(table.rows), tuple(found), tuple(wrong), tuple(skipped))


def write(predictions: Iterable[Prediction]) -> str:
    """Return the CSV of predictions."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in predictions:
        band = line.band
        writer.writerow(
            [line.id, line.metric, *(f"{value:.6g}" for value in (band.median, band.p10, band.p90))]
        )
    return out.getvalue()


def where(problem: Problem) -> Text:
    """Return row and field in words."""
    return text("line {line}, {field}", line=problem.line, field=problem.field)


def _bands(table: Table, row: Cells, book: Catalogue, known: Constants) -> dict[str, Band]:
    if table.kind == "training":
        return _training(row, book, known)
    if table.kind == "iteration":
        return _iteration(row, book, known)
    if table.kind == "memory":
        return _memory(row, book, known)
    return _inference(row, book, known)


def _training(row: Cells, book: Catalogue, known: Constants) -> dict[str, Band]:
    question = reading.training(row, book)
    if question is None:
        return {}
    run = question.run
    if run.architecture.forward_flops is None and not len(enumerate_layouts(run)):
        # The stated batch allows no layout on this number of devices: one sequence a device is the least that does.
        run = replace(run, batch=float(run.hardware.count))
    try:
        estimate = estimate_training(run, known=known)
    except InvalidInput as error:
        row.wrong("accel_count", error.message)
        return {}
    if estimate.unit == "sample":
        return {"obs_accel_s_per_sample": estimate.per_unit_s}
    found = {"obs_accel_s_per_mtoken": estimate.per_unit_s.times(1e6)}
    if row.word("seq_len") and question.run.architecture.family in SAMPLE_FAMILIES:
        found["obs_accel_s_per_sample"] = estimate.per_unit_s.times(float(question.run.sequence))
    return found


def _iteration(row: Cells, book: Catalogue, known: Constants) -> dict[str, Band]:
    question = reading.iteration(row, book)
    if question is None:
        return {}
    seconds = step_seconds(question.run, known)
    return {"iteration_ms": Band.around(seconds * 1e3, step_deviation(question.run, known))}


def step_deviation(run: Training, known: Constants) -> float:
    """Return the deviation of a step time; chips other than the measured one get a wider one, by how much chips differ."""
    other = 0.0 if run.hardware.chip == STEPS_MEASURED_ON else PRIORS["chip"]
    larger = 0.15 if run.architecture.params > 2e11 else 0.0
    return math.hypot(known.step_deviation, other, larger, run.hardware.peak_deviation)


def _memory(row: Cells, book: Catalogue, known: Constants) -> dict[str, Band]:
    question = reading.memory_point(row, book)
    if question is None:
        return {}
    deviation = known.memory_deviation
    if not memory_points.is_peak(question):
        deviation /= 3.0
    elif memory_points.recipe_of(question.sharding) not in known.memory:
        deviation *= 2.0
    return {"memory_gib": Band.around(memory_points.predicted_gib(question, known.memory), deviation)}


def _inference(row: Cells, book: Catalogue, known: Constants) -> dict[str, Band]:
    question = serving_rows.serving(row, book)
    if question is None:
        return {}
    if not question.tokens:
        row.wrong("output_len", text("Without output_len there are no tokens to predict"))
        return {}
    ask = question.ask
    estimate = estimate_serving(ask, scenario=question.scenario, known=known)
    rate = estimate.output_tokens_per_s
    return {
        "output_tokens_per_s": rate,
        "total_tokens_per_s": estimate.total_tokens_per_s,
        "output_tokens_per_s_per_accel": rate.times(1.0 / ask.hardware.count),
        "samples_per_s": estimate.requests_per_s,
        "ttft_ms_mean": estimate.ttft_s.times(1e3),
        "tpot_ms_mean": estimate.tpot_s.times(1e3),
        "prefill_ms": estimate.prefill_s.times(1e3),
        "decode_ms_per_token": estimate.tpot_s.times(1e3),
    }
