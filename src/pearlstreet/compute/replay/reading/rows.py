"""Rows of a table of text, read one by one; what is wrong with one is said with its file, line and field."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.replay.trace import Job

PROBLEMS_MAX = 20
"""Bad rows that are named; more are only counted."""
LONGEST_S = 100 * 366 * 86_400.0
"""A century: times and durations beyond it are taken for a mistake of units."""
LATEST_S = 300 * 366 * 86_400.0
MOST = 1_000_000
"""Tasks, devices, and thousandfold of it cores: more of anything is a mistake."""


class BadField(Exception):
    """A value that cannot be right; always caught inside this package."""

    def __init__(self, name: str, message: Text, hint: Text | None = None) -> None:
        super().__init__(name)
        self.name, self.message, self.hint = name, message, hint


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its line number and its values by column name."""

    line: int
    values: Mapping[str, object]

    def word(self, name: str, default: str | None = None) -> str:
        """Return text; must be there unless there is a default."""
        value = self.values.get(name)
        shown = "" if value is None else str(value).strip()
        if shown:
            if len(shown) > 400 or not shown.isprintable():
                raise BadField(name, text("{field} is no name: at most 400 printable characters", field=name))
            return shown
        if default is None:
            raise BadField(name, text("{field} is empty", field=name))
        return default

    def number(self, name: str, *, default: float | None = None, most: float = LATEST_S) -> float:
        """Return a number from 0 to `most`; must be there unless there is a default."""
        value = self.values.get(name)
        if value is None or value == "":
            if default is None:
                raise BadField(name, text("{field} is empty", field=name), text("Give a number"))
            return default
        try:
            found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            shown = repr(value)[:60]
            raise BadField(
                name, text("{field} is {value}, not a number", field=name, value=shown), text("Give a number")
            )
        if found < 0:
            raise BadField(
                name,
                text("{field} is negative: {value}", field=name, value=f"{found:g}"),
                text("Give a number from 0 on"),
            )
        if found > most:
            raise BadField(
                name,
                text(
                    "{field} is {value}, more than {most}", field=name, value=f"{found:g}", most=f"{most:g}"
                ),
                text("Check its unit"),
            )
        return found

    def whole(self, name: str, *, default: int | None = None, most: float = MOST) -> int:
        """Return a whole number from 0 to `most`."""
        found = self.number(name, default=default, most=most)
        if found != int(found):
            raise BadField(
                name,
                text("{field} is {value}, not a whole number", field=name, value=f"{found:g}"),
                text("Give a whole number"),
            )
        return int(found)


@dataclass(slots=True)
class Findings:
    """Problems found in a file so far."""

    file: str
    skip_bad: bool = False
    problems: list[Problem] = field(default_factory=list)
    bad: int = 0
    rows: int = 0

    def note(self, line: int, name: str, message: Text, hint: Text | None = None) -> None:
        """Remember a bad row. Raises InvalidInput once enough are known, unless they are to be skipped."""
        self.bad += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(name, message, line=line, file=self.file, hint=hint))
        elif not self.skip_bad:
            self.stop()

    def stop(self) -> None:
        """Raises InvalidInput with all that was noted."""
        raise InvalidInput(
            text("{file} has rows that cannot be right ({count} seen)", file=self.file, count=self.bad),
            hint=text("Mend them, or go on without them: --skip-bad"),
            problems=self.problems,
        )


Make = Callable[[Row], Job | None]
"""A job from a row; None: the row is fine but is no job. Raises BadField."""


def read_rows(rows: Iterable[Row], make: Make, findings: Findings) -> Iterator[Job]:
    """Yield the jobs of the rows; a second job with a known id is a bad row. Raises InvalidInput."""
    seen: dict[str, int] = {}
    for row in rows:
        findings.rows += 1
        try:
            job = make(row)
        except BadField as error:
            findings.note(row.line, error.name, error.message, error.hint)
            continue
        if job is None:
            continue
        first = seen.setdefault(job.id, row.line)
        if first != row.line:
            findings.note(
                row.line,
                "id",
                text("The job {job} stands in line {line} already", job=job.id, line=first),
                text("Give every job an id of its own"),
            )
            continue
        yield job
    if findings.bad and not findings.skip_bad:
        findings.stop()


def csv_rows(
    lines: Iterable[str], findings: Findings, needed: Iterable[str], delimiter: str = ","
) -> Iterator[Row]:
    """Yield rows of a table with a header. Raises InvalidInput when a needed column is missing."""
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL)
    try:
        first = next((cells for cells in reader if cells), [])
    except csv.Error:
        first = []
    header = [name.strip().lstrip("\ufeff") for name in first]
    missing_columns(header, needed, findings.file)
    width = len(header)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:  # a NUL byte, a field of 128 KiB
            findings.note(
                reader.line_num, "-", text("The line cannot be read: {problem}", problem=str(error))
            )
            continue
        if cells is None:
            return
        if not cells or cells == [""]:
            continue
        if len(cells) != width:
            findings.note(
                reader.line_num,
                "-",
                plural(
                    "{count} value stands under {columns} columns",
                    "{count} values stand under {columns} columns",
                    count=len(cells),
                    columns=width,
                ),
                text("Give each column a value, or leave it empty between delimiters"),
            )
            continue
        yield Row(reader.line_num, dict(zip(header, cells, strict=True)))


def json_rows(lines: Iterable[str], findings: Findings) -> Iterator[Row]:
    """Yield rows of JSON lines: one object a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            findings.note(number, "-", text("The line is not a JSON object"), text("Write one object a line"))
            continue
        yield Row(number, value)


def missing_columns(header: Iterable[str], needed: Iterable[str], file: str) -> None:
    """Raises InvalidInput that names the columns that are missing and those that are there."""
    there = list(header)
    missing = [name for name in needed if name not in there]
    if missing:
        raise InvalidInput(
            text("{file} lacks columns: {names}", file=file, names=", ".join(missing)),
            hint=text("It has: {names}", names=", ".join(there)[:400] or "-"),
            problems=[
                Problem(name, text("The column {field} is missing", field=name), line=1, file=file)
                for name in missing[:PROBLEMS_MAX]
            ],
        )
