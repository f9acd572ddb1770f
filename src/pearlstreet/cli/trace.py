"""The center's own history as a trace: trace export."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, TextIO

import typer

from pearlstreet.base.text import plural
from pearlstreet.cli.output import done
from pearlstreet.cli.profile import client
from pearlstreet.client.profile import active


def register(app: typer.Typer) -> None:
    """Add the commands."""
    trace = typer.Typer(help="The history of jobs as a trace: export.", no_args_is_help=True)
    trace.command()(export)
    app.add_typer(trace, name="trace")


def export(
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write, JSON lines or .csv (default: standard output)"),
    ] = None,
    org: Annotated[
        str | None, typer.Option("--org", help="Organisation (default: the profile's, else yours)")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="Of all tenants, under pseudonyms (operators)")
    ] = False,
    names: Annotated[bool, typer.Option("--names", help="With --all: names instead of pseudonyms")] = False,
    since: Annotated[
        str | None, typer.Option("--from", help="Submitted from this time on (RFC 3339)")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Submitted before this time (RFC 3339)")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, whatever the file is called")] = False,
) -> None:
    """Write the jobs that ran and ended, as pearl simulate reads them."""
    table = as_csv or (file is not None and file.suffix == ".csv")
    with client() as center:
        chosen = None if everybody else org or active().org
        rows = center.trace.jobs(org=chosen, since=since, until=until, names=names)
        with (
            file.open("w", encoding="utf-8", newline="")
            if file is not None
            else nullcontext(sys.stdout) as out
        ):
            count = write_csv(out, rows) if table else write_lines(out, rows)
    if file is not None:
        done(
            plural("Wrote {count} job to {file}", "Wrote {count} jobs to {file}", count=count, file=str(file))
        )


def write_lines(out: TextIO, rows: Iterable[Mapping[str, object]]) -> int:
    """Write one JSON object per row; returns their number."""
    count = 0
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count


def write_csv(out: TextIO, rows: Iterable[Mapping[str, object]]) -> int:
    """Write the same columns as CSV; return the number of rows."""
    from pearlstreet.compute.replay.reading.history import FIELDS

    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    count = 0
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in FIELDS])
        count += 1
    return count


def _cell(value: object) -> object:
    if isinstance(value, list):
        return "|".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else value
