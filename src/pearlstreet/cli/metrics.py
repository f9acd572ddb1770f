"""Command that shows a job's metrics: one line of block characters for each series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import typer

from pearlstreet.cli.accounts import Json
from pearlstreet.cli.jobs import JobArg
from pearlstreet.cli.output import done, show_lines, table
from pearlstreet.cli.profile import client
from pearlstreet.client import results

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40
Series = Mapping[tuple[int, str], Sequence[float]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    job_id: JobArg,
    attempt: Annotated[str | None, typer.Option(help="Which attempt (default: the newest)")] = None,
    name: Annotated[str | None, typer.Option(help="Only names that contain this")] = None,
    as_json: Json = False,
) -> None:
    """Show a job's use over time, and what it measured itself ($PEARL_METRICS)."""
    with client() as center:
        samples = center.jobs.metrics(job_id, attempt=attempt)
    if as_json:
        show_lines(samples)
        return
    found = {key: values for key, values in series(samples).items() if name is None or name in key[1]}
    if not found:
        done("Nothing was measured yet")
        return
    table(
        ("Rank", "What", "Over time", "Least", "Mean", "Most", "Last"),
        [
            (rank, what, sparkline(values), *map(_number, _figures(values)))
            for (rank, what), values in sorted(found.items())
        ],
        right=(0, 3, 4, 5, 6),
    )


def series(samples: Iterable[results.Sample]) -> Series:
    """PURE: (rank, name) → values, oldest first."""
    found: dict[tuple[int, str], list[float]] = {}
    for sample in samples:
        for what, value in sample["values"].items():
            found.setdefault((sample["rank"], what), []).append(float(value))
    return found


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """PURE: at most `width` blocks; each is the mean of its stretch. A series that does not change is flat and low."""
    count = min(width, len(values))
    edges = [len(values) * step // count for step in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    if high == low:
        return BLOCKS[0] * count
    return "".join(BLOCKS[min(7, int((mean - low) / (high - low) * 8))] for mean in means)


def _figures(values: Sequence[float]) -> tuple[float, float, float, float]:
    return min(values), sum(values) / len(values), max(values), values[-1]


def _number(value: float) -> str:
    return f"{value:.4g}"
