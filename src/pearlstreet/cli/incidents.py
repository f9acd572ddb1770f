"""Operators' commands on incidents: rows on which background tasks fail or stopped retrying."""

from __future__ import annotations

from typing import Annotated

import typer

from pearlstreet.base.text import plural
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import done, field_table, show_lines
from pearlstreet.cli.profile import client
from pearlstreet.tenancy.incident_fields import INCIDENT_FIELDS

incidents = typer.Typer(help="What the center fails on: list, retry.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(incidents, name="incidents")


@incidents.command("list")
def list_incidents(as_json: Json = False) -> None:
    """List background tasks that fail or stopped retrying."""
    with client() as center:
        rows = center.incidents.list()
    if as_json:
        show_lines(rows)
        return
    field_table(INCIDENT_FIELDS, rows)


@incidents.command("retry")
def retry(
    row: Annotated[str | None, typer.Argument(help="Only this row", metavar="ROW")] = None,
    loop: Annotated[str | None, typer.Option(help="Only of this background task")] = None,
) -> None:
    """Have what was given up tried again now."""
    with client() as center:
        found = center.incidents.retry(loop=loop, row=row)
    done(plural("{count} row is being retried", "{count} rows are being retried", count=found["retried"]))
