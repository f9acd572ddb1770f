"""Backups that a center makes while it runs, in its own folder. `pearl backup` is for who has the data folder in hand."""

from __future__ import annotations

import typer

from pearlstreet.base.units import format_bytes
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import done, show_json, show_lines, table, time_cell
from pearlstreet.cli.profile import client

backups = typer.Typer(help="Backups that the center makes itself: list, make.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(backups, name="backups")


@backups.command("make")
def make(as_json: Json = False) -> None:
    """Have the running center make a backup in its own folder; its key is not part of it."""
    with client() as center:
        made = center.backups.make()
    if as_json:
        show_json(made)
        return
    done("The center has made {name}, {size}", name=made["name"], size=format_bytes(made["size_bytes"]))


@backups.command("list")
def list_backups(as_json: Json = False) -> None:
    """List the backups in the center's own folder, newest first."""
    with client() as center:
        rows = center.backups.list()
    if as_json:
        show_lines(rows)
        return
    table(
        ("Backup", "Size", "Time (UTC)"),
        [(r["name"], format_bytes(r["size_bytes"]), time_cell(r["at"])) for r in rows],
        right=(1,),
    )
