"""Fields of a noun, described once: the JSON of the API, the table of the command line and the table of the console follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.text import Text


class FieldKind(Enum):
    """How a field is shown."""

    WORDS = "words"
    CODE = "code"
    """A name or an id that people copy."""
    COUNT = "count"
    TIME = "time"
    """A time: the attribute counts µs since 1970, the JSON is RFC 3339."""
    FLAG = "flag"
    """A yes or no, shown as one of two states."""


@dataclass(frozen=True, slots=True)
class TableField:
    """One field of a noun."""

    name: str
    """Key in JSON."""
    heading: Text
    kind: FieldKind = FieldKind.WORDS
    attribute: str = ""
    """Attribute of the service's value, if not `name`."""
    states: tuple[str, str] = ("yes", "no")
    """States shown for a FLAG that is true, and for one that is false."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """Console pages that the value links to, by the value's prefix: {"job_": "/jobs/"}."""

    def of(self, row: object) -> object:
        """Return the field of a service's value, or of an object of the API's JSON."""
        return row[self.name] if isinstance(row, Mapping) else getattr(row, self.attribute or self.name)

    def json(self, row: object) -> object:
        """Return the field of a service's value as JSON has it."""
        value = self.of(row)
        return to_rfc3339(value) if self.kind is FieldKind.TIME and isinstance(value, int) else value

    def state(self, row: object) -> str:
        """Return the state shown for a FLAG."""
        return self.states[0] if self.of(row) else self.states[1]

    def page(self, row: object) -> str:
        """Return the path of the console page that the value links to; "" if it links to none."""
        value = str(self.of(row))
        return next((path + value for prefix, path in self.pages.items() if value.startswith(prefix)), "")


def fields_json(fields: Sequence[TableField], row: object) -> dict[str, object]:
    """Return a service's value as a JSON object."""
    return {one.name: one.json(row) for one in fields}
