"""Rows of the table that `make bench` prints at its end. A benchmark that runs alone records nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "PEARL_BENCH_TABLE"
"""Names the file of JSON lines that the benchmarks of one run share."""


def record(name: str, figure: float, unit: str, against: str, reference: float) -> None:
    """Add a row: `figure` beside a peer's or a bound's, such as against="at most", reference=50, both in `unit`."""
    if os.environ.get(VARIABLE):
        row = {"name": name, "figure": figure, "unit": unit, "against": against, "reference": reference}
        with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows recorded so far."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def format_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as aligned text: name, figure, peer or bound, and the figure divided by it."""
    cells = [("name", "figure", "peer or bound", "ratio")] + [
        (
            row["name"],
            f"{_number(row['figure'])} {row['unit']}",
            f"{row['against']} {_number(row['reference'])} {row['unit']}",
            _ratio(row["figure"], row["reference"]),
        )
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {figure:>{widths[1]}}  {peer:<{widths[2]}}  {ratio:>{widths[3]}}"
        for name, figure, peer, ratio in cells
    )


def _ratio(figure: float, reference: float) -> str:
    if not reference:
        return "-"
    ratio = figure / reference
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
