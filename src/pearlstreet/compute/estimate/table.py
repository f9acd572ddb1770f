"""Reads a file of runs: permitted columns, and numbers from cells, with every error named by row and field.

Columns that hold what was observed or published about the outcome are dropped before anything else looks at the file.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text

Kind = Literal["training", "inference", "iteration", "memory"]
READ: Mapping[Kind, frozenset[str]] = {
    "training": frozenset(
        [
            "id",
            "model",
            "family",
            "params_total_b",
            "params_active_b",
            "layers",
            "hidden",
            "heads",
            "kv_heads",
            "seq_len",
            "vocab",
            "tokens_b",
            "samples_m",
            "epochs",
            "global_batch_tokens",
            "accelerator",
            "accel_count",
            "interconnect",
            "precision",
            "training_mode",
            "tp",
            "pp",
            "dp",
            "parallelism_other",
            "activation_recompute",
            "fwd_gflops_per_sample",
        ]
    ),
    "inference": frozenset(
        [
            "id",
            "model",
            "family",
            "params_total_b",
            "params_active_b",
            "accelerator",
            "accel_count",
            "tp",
            "pp",
            "parallelism_other",
            "engine",
            "engine_version",
            "precision",
            "scenario",
            "input_len",
            "output_len",
            "concurrency",
        ]
    ),
    "iteration": frozenset(
        [
            "id",
            "params_b",
            "accel_count",
            "global_batch",
            "micro_batch",
            "hidden",
            "heads",
            "layers",
            "seq_len",
            "tp",
            "dp",
            "pp",
            "accelerator",
            "precision",
            "vocab",
            "activation_recompute",
            "interconnect",
        ]
    ),
    "memory": frozenset(
        [
            "id",
            "model",
            "params_total_b",
            "layers",
            "hidden",
            "heads",
            "seq_len",
            "vocab",
            "micro_batch",
            "accelerator",
            "accel_count",
            "tp",
            "pp",
            "dp",
            "sharding",
            "activation_recompute",
            "precision",
            "component",
        ]
    ),
}
"""The only columns of each kind of file that an estimate ever sees."""
NEEDED: Mapping[Kind, frozenset[str]] = {
    "training": frozenset(("accelerator", "params_total_b", "training_mode")),
    "inference": frozenset(("accelerator", "params_total_b", "input_len", "output_len")),
    "iteration": frozenset(
        ("accelerator", "accel_count", "global_batch", "micro_batch", "hidden", "layers", "tp", "pp", "dp")
    ),
    "memory": frozenset(("accelerator", "component", "layers", "hidden")),
}
MAX_BYTES = 64 << 20
MAX_ROWS = 200_000
MOST: Mapping[str, float] = {
    "params_total_b": 1e6, "params_active_b": 1e6, "params_b": 1e6, "layers": 1e5, "hidden": 1e7, "heads": 1e5,
    "kv_heads": 1e5, "seq_len": 1e9, "vocab": 1e8, "tokens_b": 1e9, "samples_m": 1e9, "epochs": 1e6,
    "global_batch_tokens": 1e12, "accel_count": 1e7, "tp": 1e5, "pp": 1e5, "dp": 1e7, "micro_batch": 1e6,
    "global_batch": 1e9, "fwd_gflops_per_sample": 1e12, "input_len": 1e9, "output_len": 1e9,
}  # fmt: skip
"""Largest accepted number; larger ones are typing errors."""
WHOLE = frozenset(
    ("layers", "heads", "kv_heads", "accel_count", "tp", "pp", "dp", "micro_batch", "global_batch")
)


@dataclass(slots=True)
class Cells:
    """Cells of one row. Reading collects all problems instead of stopping at the first."""

    number: int
    """Number of the row from 0, which names rows without an id in predictions."""
    line: int
    values: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The row's own id, else its number."""
        return self.values.get("id") or str(self.number)

    def word(self, name: str) -> str:
        """Return the cell's text; empty for an absent column."""
        return self.values.get(name, "")

    def wrong(self, name: str, message: Text, hint: Text | None = None) -> None:
        """Record a problem of a cell."""
        self.problems.append(Problem(name, message, line=self.line, hint=hint))

    def number_of(self, name: str) -> float | None:
        """Return a positive number; None where the cell is empty or wrong."""
        raw = self.word(name)
        if not raw:
            return None
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.wrong(name, text("{value} is not a number", value=repr(raw)))
        elif value <= 0:
            self.wrong(name, text("{value} must be greater than zero", value=raw))
        elif value > MOST.get(name, math.inf):
            self.wrong(name, text("{value} is beyond anything that exists", value=raw))
        elif name in WHOLE and value != int(value):
            self.wrong(name, text("{value} must be a whole number", value=raw))
        else:
            return value
        return None

    def whole(self, name: str) -> int | None:
        """Return a positive whole number; None where the cell is empty or wrong."""
        value = self.number_of(name)
        return None if value is None else int(value)

    def whole_or(self, name: str, default: int) -> int:
        """Return the same, with a default for an empty cell."""
        return self.whole(name) or default


@dataclass(frozen=True, slots=True)
class Table:
    """A file of runs without the columns that an estimate may not see."""

    kind: Kind
    rows: tuple[Cells, ...]


def read_table(content: bytes | str, kind: Kind | None = None) -> Table:
    """Return the file's rows, each with what is wrong in it.

    Raises InvalidInput when the header is no CSV or fits no kind of file.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(text("The file is larger than {most} MiB", most=MAX_BYTES >> 20))
    if isinstance(content, bytes):
        content = content.decode("utf-8-sig", "replace")
    records = _records(content.removeprefix("\ufeff"))
    line, header, problem = next(records, (1, [], None))
    header = [name.strip() for name in header]
    if problem is not None or any(REPLACED in name for name in header):
        raise InvalidInput(
            text("Line {line} is not CSV: {reason}", line=line, reason=problem or "UTF-8"),
            hint=text("Save it as CSV in UTF-8"),
        )
    found = kind or _kind(header)
    _check_header(header, found)
    kept = [(at, name) for at, name in enumerate(header) if name in READ[found]]
    return Table(found, tuple(_rows(records, header, kept)))


REPLACED = "\ufffd"
"""Character that replaces bytes that are not UTF-8."""
MAX_RECORD_LINES = 1_000
"""Lines that one quoted cell may span: a quote that is never closed must not swallow the rest of the file."""


def _records(content: str) -> Iterator[tuple[int, list[str], str | None]]:
    """(last line, cells, what is wrong) of each record; a line that is no CSV is a record by itself."""
    lines = list(io.StringIO(content, newline=""))
    at = 0
    while at < len(lines):
        window = range(at, min(at + MAX_RECORD_LINES, len(lines)))
        reader = csv.reader((lines[number] for number in window), strict=True)
        try:
            cells, problem = next(reader), None
            at += reader.line_num
        except csv.Error as error:
            cells, problem = [], str(error)
            at += 1
        yield at, cells, problem


def _rows(
    records: Iterator[tuple[int, list[str], str | None]],
    header: list[str],
    kept: list[tuple[int, str]],
) -> list[Cells]:
    rows: list[Cells] = []
    for line, cells, problem in records:
        if problem is None and not any(cell.strip() for cell in cells):
            continue
        if len(rows) >= MAX_ROWS:
            raise InvalidInput(text("The file has more than {most} rows", most=MAX_ROWS))
        row = Cells(len(rows), line, {})
        if problem is not None:
            row.wrong(header[0], text("The line is not CSV: {reason}", reason=problem))
        elif len(cells) != len(header):
            row.wrong(
                header[min(len(cells), len(header) - 1)],
                plural(
                    "The row has {count} cell, the header {wanted}",
                    "The row has {count} cells, the header {wanted}",
                    count=len(cells),
                    wanted=len(header),
                ),
            )
        else:
            row.values = {name: cells[at].strip() for at, name in kept}
            for name, value in row.values.items():
                if REPLACED in value:
                    row.wrong(name, text("The cell is not UTF-8 text"), text("Save it as CSV in UTF-8"))
        rows.append(row)
    return rows


def _kind(header: list[str]) -> Kind:
    names = set(header)
    if "component" in names:
        return "memory"
    if "scenario" in names or {"input_len", "output_len"} <= names:
        return "inference"
    if "training_mode" in names:
        return "training"
    if "micro_batch" in names and "global_batch" in names:
        return "iteration"
    raise InvalidInput(
        text("The file's columns fit no kind of run: {columns}", columns=", ".join(header[:12]) or "-"),
        hint=text(
            "Training runs have {training}, inference runs {inference}, iteration times {iteration}, memory {memory}",
            training="training_mode", inference="input_len, output_len", iteration="micro_batch, global_batch",
            memory="component",
        ),
    )  # fmt: skip


def _check_header(header: list[str], kind: Kind) -> None:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    missing = sorted(NEEDED[kind] - set(header))
    problems = [Problem(name, text("The column stands twice in the header"), line=1) for name in twice]
    problems += [Problem(name, text("The column is missing"), line=1) for name in missing]
    if problems:
        raise InvalidInput(text("The file's header is not right"), problems=problems)
