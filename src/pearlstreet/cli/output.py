"""Output of commands: tables for people, JSON for programs, and errors, in the reader's language."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.base.table_fields import FieldKind, TableField
from pearlstreet.base.text import Text, pick_language, plural, text
from pearlstreet.base.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

BAR_FROM_BYTES = 4 << 20
STATES = {
    "queued": "yellow",
    "placed": "cyan",
    "starting": "cyan",
    "running": "bold cyan",
    "stopping": "magenta",
    "finishing": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "dim",
    "collecting": "cyan",
    "ended": "dim",
    "exited": "default",
    "time_limit": "yellow",
    "memory_limit": "yellow",
    "disk_limit": "yellow",
    "stopped": "yellow",
    "start_failed": "red",
    "engine_lost": "bold red",
    "ready": "green",
    "answering": "green",
    "silent": "bold red",
    "limited": "yellow",
    "unhealthy": "bold red",
    "absent": "red",
    "drained": "yellow",
    "pending": "yellow",
    "active": "green",
    "suspended": "red",
    "given_up": "bold red",
    "retrying": "yellow",
}
"""Words that are shown in colour and in the reader's language."""


def language() -> str:
    """Return PEARL_LANG, else the terminal's locale."""
    for name in ("PEARL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return pick_language(os.environ[name])
    return "en"


def say(template: str, /, **params: object) -> str:
    """Return a message in the reader's language."""
    return text(template, **params).render(language())


def say_plural(one: str, many: str, /, *, count: float | str, **params: object) -> str:
    """Return a message with a count in the reader's language; `one` is the English form for a count of 1."""
    return plural(one, many, count=count, **params).render(language())


class Terminal:
    """Standard output or standard error. What draws on it is imported when it is first used."""

    def __init__(self, *, stderr: bool) -> None:
        self._stderr = stderr

    @cached_property
    def console(self) -> Console:
        """The console behind it."""
        from rich.console import Console

        return Console(stderr=self._stderr, highlight=False, soft_wrap=True, emoji=False)

    @property
    def is_terminal(self) -> bool:
        """Whether the output is a terminal, so that a person is likely to see it at once."""
        return self.console.is_terminal

    def print(self, *parts: object, **options: Any) -> None:
        """Print with rich's markup."""
        self.console.print(*parts, **options)

    def status(self, words: str) -> Status:
        """Return a status line, which is rewritten in place."""
        return self.console.status(words)

    def title(self, words: str) -> None:
        """A heading between two parts of an answer."""
        self.console.print()
        self.console.print(text(words).render(language()), style="bold", markup=False)


out = Terminal(stderr=False)
err = Terminal(stderr=True)


def show_json(value: object) -> None:
    """JSON on standard output, for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def show_lines(values: Iterable[object]) -> None:
    """Print one JSON document per line, as the values come."""
    for value in values:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """A table; `columns` are English headings, put into the reader's language. `right`: columns of numbers.

    Ids, names and numbers are never broken; columns of words are folded where the terminal ends.
    """
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    shown = [tuple(cell(value) for value in row) for row in rows]
    for index, name in enumerate(columns):
        whole = index in right or all(_whole(row[index]) for row in shown)
        made.add_column(
            say(name),
            justify="right" if index in right else "left",
            overflow="fold",
            no_wrap=whole,
            # A time has a space in it, where rich would think that it may be broken.
            min_width=max(_width(words) for words in (say(name), *(row[index] for row in shown)))
            if whole
            else None,
        )
    for row in shown:
        made.add_row(*row)
    # Wider than the terminal when what must stay whole needs it: the terminal wraps, copying still works.
    needed = made.__rich_measure__(out.console, out.console.options.update(max_width=10_000)).minimum
    if needed > out.console.width:
        made.width = needed
    out.print(made, crop=False, no_wrap=True)


def field_table(fields: Sequence[TableField], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table of the API's objects whose columns are the fields of their noun."""
    right = [number for number, one in enumerate(fields) if one.kind is FieldKind.COUNT]
    table(
        [_heading(one) for one in fields],
        [[_field_cell(one, row) for one in fields] for row in rows],
        right=right,
    )


def _heading(one: TableField) -> str:
    words = one.heading.render(language())
    return f"{words} (UTC)" if one.kind is FieldKind.TIME else words


def _field_cell(one: TableField, row: Mapping[str, Any]) -> object:
    if one.kind is FieldKind.FLAG:
        return one.state(row)
    return time_cell(row[one.name]) if one.kind is FieldKind.TIME else one.of(row)


def _width(shown: str) -> int:
    from rich.text import Text as Marked

    return Marked.from_markup(shown).cell_len


def _whole(shown: str) -> bool:
    return " " not in shown or shown[:2].isdigit() or "[/]" in shown


def cell(value: object) -> str:
    """Return a value as a cell shows it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    shown = str(value)
    if shown in STATES:
        return f"[{STATES[shown]}]{say(shown)}[/]"
    return shown.replace("[", "\\[")


def facts(rows: Mapping[str, object]) -> None:
    """Name and value, one a line."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        made.add_row(say(name), cell(value))
    out.print(made)


def time_cell(value: str | None) -> str:
    """Return an RFC 3339 time as a table shows it: UTC, to the second."""
    return "-" if value is None else value[:19].replace("T", " ")


def cells(words: str) -> int:
    """Return the number of terminal columns that the words take; East Asian characters take two."""
    return sum(
        2 if unicodedata.east_asian_width(letter) in "WF" else not unicodedata.combining(letter)
        for letter in words
    )


def short(words: str | None, limit: int = 60) -> str:
    """Return the first line, cut to at most `limit` columns of a terminal."""
    first = (words or "-").split("\n")[0]
    if cells(first) <= limit:
        return first
    while cells(first) >= limit:
        first = first[:-1]
    return first + "…"


def who(label: str | None) -> str | None:
    """Return an actor without its key: `ada key_…` is ada."""
    return label.split(" ")[0] if label else None


def confirm(template: Text | str, yes: bool, /, **params: object) -> None:
    """Ask before something that is hard to undo. Raises InvalidInput when nobody can be asked and `yes` is not given."""
    if yes:
        return
    question = template if isinstance(template, Text) else text(template, **params)
    if not sys.stdin.isatty():
        raise InvalidInput(text("This needs a yes: {question}", question=question), hint=text("Add --yes"))
    import typer

    typer.confirm(question.render(language()), abort=True)


def secret_input(prompt: str) -> str:
    """Return a line from the terminal that is not echoed, else from standard input."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(text(prompt).render(language()))
    return sys.stdin.readline().rstrip("\r\n")


def done(template: Text | str, /, **params: object) -> None:
    """Say that something was done (on standard error, so that pipes stay clean)."""
    message = template if isinstance(template, Text) else text(template, **params)
    err.print("[green]✓[/] " + message.render(language()).replace("[", "\\["))


def warn(message: Text | str) -> None:
    """A notice that must be seen."""
    words = message.render(language()) if isinstance(message, Text) else message
    err.print("[bold yellow]![/] " + words.replace("[", "\\["))


@contextmanager
def uploading(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """Say that a file is sent; on a terminal a large one gets a bar. Gives what is to be told bytes sent so far."""
    if not err.is_terminal or size_bytes < BAR_FROM_BYTES:
        words = say("Uploading {name} ({size})", name=name, size=format_bytes(size_bytes))
        err.print(words, style="dim", markup=False)
        yield lambda sent: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err.console, transient=True) as bar:
        task = bar.add_task(name, total=size_bytes)
        yield lambda sent: bar.update(task, completed=sent)


def show_error(error: PearlError) -> None:
    """Print an error: what is wrong, where, and what would be right."""
    lang = language()
    err.print("[bold red]✗[/] " + error.message.render(lang).replace("[", "\\["))
    for item in error.problems:
        place = ":".join(str(part) for part in (item.file, item.line, item.column) if part is not None)
        where = " ".join(part for part in (place, item.field) if part)
        err.print(f"  [bold]{where}[/]  " + item.message.render(lang).replace("[", "\\["))
        if item.hint is not None:
            err.print("    → " + item.hint.render(lang).replace("[", "\\["), style="dim")
    if error.hint is not None:
        err.print("  → " + error.hint.render(lang).replace("[", "\\["))
    request = getattr(error, "body", {}).get("instance") if error.status >= 500 else None
    if request:
        err.print(f"  {request}", style="dim")
