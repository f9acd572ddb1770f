"""Rows of inference_runs as questions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pearlstreet.base.text import text
from pearlstreet.compute.estimate.model import Serving
from pearlstreet.compute.estimate.reading import hardware, precision_of, shape_of
from pearlstreet.compute.estimate.table import Cells
from pearlstreet.compute.hardware.catalogue import Catalogue

_RANGE = re.compile(r"^\s*(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?")
MANY = 256.0
"""Requests at once of "all at once", where the words name only how many prompts there are."""


@dataclass(frozen=True, slots=True)
class ServingQuestion:
    """A row of inference_runs as a question; without token counts only samples can be asked for."""

    row: Cells
    ask: Serving
    scenario: str
    tokens: bool


def serving(row: Cells, book: Catalogue) -> ServingQuestion | None:
    """Return the row as a question; None when it cannot be asked, with the reasons in its problems."""
    shape = shape_of(row)
    count = row.whole("accel_count") or 1
    precision = precision_of(row, "bf16")
    device = hardware(row, book, precision, count)
    tensor, pipeline = row.whole("tp"), row.whole("pp")
    if (tensor or 1) * (pipeline or 1) > count:
        row.wrong(
            "tp",
            text(
                "The layout takes {taken} accelerators; there are {count}",
                taken=(tensor or 1) * (pipeline or 1),
                count=count,
            ),
        )
    output = row.number_of("output_len")
    read = row.number_of("input_len")
    concurrency = _concurrency(row)
    if shape is None or device is None or row.problems:
        return None
    assumed = () if read else ("input_len",)
    return ServingQuestion(
        row,
        Serving(
            architecture=shape,
            hardware=device,
            precision=precision,
            # Question answering reads about as much as it writes.
            input_tokens=round(read or output or 512),
            output_tokens=max(1, round(output or 1)),
            concurrency=concurrency,
            tensor=tensor,
            pipeline=pipeline,
            engine=row.word("engine"),
            assumed=assumed,
        ),
        scenario=row.word("scenario"),
        tokens=output is not None,
    )


def _concurrency(row: Cells) -> float | None:
    """Return requests at once: a number, or None for as many as fit."""
    words = row.word("concurrency")
    if not words or words.lower() in ("unbounded", "unlimited", "max"):
        return None
    if "prompts" in words:
        return MANY
    found = _RANGE.match(words)
    if words.startswith("batch"):
        found = _RANGE.match(words.removeprefix("batch"))
    if found is None or float(found[1]) <= 0:
        row.wrong("concurrency", text("{value} says no number of requests", value=repr(words)))
        return None
    return float(found[2] or found[1])
