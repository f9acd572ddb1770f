"""Heat map of nodes × devices: a square for each device, darker the more of it is allocated, crossed out if unhealthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

CELL, GAP = 13, 3
COLUMNS_MAX = 4
"""Largest number of nodes side by side."""
STEPS = 5
"""Number of shades for allocated devices."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One device of the map."""

    allocated: float
    """Allocated share of the device, 0 to 1."""
    state: str
    """One of healthy, unhealthy, drained, gone."""
    tooltip: str


@dataclass(frozen=True, slots=True)
class Row:
    """One node with its devices."""

    name: str
    href: str
    cells: Sequence[Cell]


def heat(title: str, rows: Sequence[Row], *, columns: int | None = None) -> Markup:
    """Return the map; nodes fill it column by column. `columns`: number of columns, by default chosen by the nodes' size."""
    if not rows:
        return Markup("")
    devices_max = max((len(row.cells) for row in rows), default=1) or 1
    label = 8 + 7 * max(len(row.name) for row in rows[:4000])
    columns = columns or (
        1 if len(rows) <= 8 else 2 if len(rows) <= 24 else COLUMNS_MAX if devices_max <= 8 else 1
    )
    rows_per_column = -(-len(rows) // columns)
    column_width = label + devices_max * (CELL + GAP) + 18
    parts = []
    for i, row in enumerate(rows):
        left, top = (i // rows_per_column) * column_width, (i % rows_per_column) * (CELL + GAP)
        squares = [
            Markup(
                '<rect class="cell {} h{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>{}'
            ).format(
                cell.state,
                level(cell.allocated),
                left + label + j * (CELL + GAP),
                top,
                CELL,
                CELL,
                cell.tooltip,
                _cross(left + label + j * (CELL + GAP), top) if cell.state in ("unhealthy", "gone") else "",
            )
            for j, cell in enumerate(row.cells)
        ]
        name = Markup('<a href="{}"><text class="tick" x="{}" y="{}">{}</text></a>').format(
            row.href, left, top + CELL - 3, row.name
        )
        parts.append(name + Markup("").join(squares))
    return Markup(
        '<svg class="heat" viewBox="0 0 {} {}" width="{}" role="group" aria-label="{}">{}</svg>'
    ).format(
        columns * column_width,
        rows_per_column * (CELL + GAP),
        columns * column_width,
        title,
        Markup("").join(parts),
    )


def level(allocated: float) -> int:
    """Return the shade of a device, 0 (free) to STEPS (all allocated). `allocated`: share from 0 to 1."""
    return 0 if allocated <= 0 else max(1, min(STEPS, round(allocated * STEPS)))


def _cross(x: int, y: int) -> Markup:
    return Markup('<path class="cross" d="M{} {} l{} {} m0 -{} l-{} {}"/>').format(
        x + 3, y + 3, CELL - 6, CELL - 6, CELL - 6, CELL - 6, CELL - 6
    )
