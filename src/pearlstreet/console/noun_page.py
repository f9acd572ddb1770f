"""A console page that lists one noun from its table of fields; it needs no template of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pearlstreet.base.table_fields import TableField
from pearlstreet.base.text import Text
from pearlstreet.console.page_request import View

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Button:
    """A button that posts an action of the page."""

    action: str
    label: Text


@dataclass(frozen=True, slots=True)
class RowButton(Generic[Row]):
    """A button in each row for which `offered` is true; it posts the values of the named attributes."""

    action: str
    label: Text
    keys: tuple[str, ...]
    offered: Callable[[Row], bool]

    def inputs(self, row: Row) -> list[tuple[str, object]]:
        """Return names and values of the form's hidden inputs."""
        return [(key, getattr(row, key)) for key in self.keys]


@dataclass(frozen=True, slots=True)
class NounPage(Generic[Row]):
    """What the page shows: one row for each value, one column for each field."""

    path: str
    title: Text
    lead: Text
    fields: Sequence[TableField]
    rows: Sequence[Row]
    empty: Text
    """Shown when there are no rows; it is good news."""
    note: Text | None = None
    """Shown above the table."""
    more: bool = False
    """Whether there are further rows that are not shown."""
    buttons: Sequence[Button] = ()
    row_button: RowButton[Row] | None = None

    def view(self) -> View:
        """Return the page to render."""
        return View("noun.html", {"page": self})
