"""The map of nodes × devices: one square a device, as dark as it is given away, marked when it is not well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

CELL, GAP = 13, 3
COLUMNS_MAX = 4
"""Nodes side by side."""
STEPS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One device. `given` from 0 to 1; `state` one of healthy, unhealthy, drained, gone."""

    given: float
    state: str
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """One node with its devices."""

    name: str
    href: str
    cells: Sequence[Cell]


def heat(title: str, rows: Sequence[Row], *, columns: int | None = None) -> Markup:
    """The map; nodes fill it column by column."""
    if not rows:
        return Markup("")
    wide = max((len(row.cells) for row in rows), default=1) or 1
    label = 8 + 7 * max(len(row.name) for row in rows[:4000])
    columns = columns or (1 if len(rows) <= 8 else 2 if len(rows) <= 24 else COLUMNS_MAX if wide <= 8 else 1)
    tall = -(-len(rows) // columns)
    column_width = label + wide * (CELL + GAP) + 18
    parts = []
    for i, row in enumerate(rows):
        left, top = (i // tall) * column_width, (i % tall) * (CELL + GAP)
        squares = [
            Markup(
                '<rect class="cell {} h{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>{}'
            ).format(
                cell.state,
                level(cell.given),
                left + label + j * (CELL + GAP),
                top,
                CELL,
                CELL,
                cell.said,
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
        columns * column_width, tall * (CELL + GAP), columns * column_width, title, Markup("").join(parts)
    )


def level(given: float) -> int:
    """0 (free) to STEPS (all given)."""
    return 0 if given <= 0 else max(1, min(STEPS, round(given * STEPS)))


def _cross(x: int, y: int) -> Markup:
    return Markup('<path class="cross" d="M{} {} l{} {} m0 -{} l-{} {}"/>').format(
        x + 3, y + 3, CELL - 6, CELL - 6, CELL - 6, CELL - 6, CELL - 6
    )
