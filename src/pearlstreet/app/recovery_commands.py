"""What somebody with the data folder in hand can do while no server runs: let the security duty back in, change keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import plural, text
from pearlstreet.cli.output import done, say, warn

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder (default: PEARL_DATA, else ~/.local/share/pearlstreet)"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]

offline = typer.Typer(
    help="With the data folder in hand: recover access, change the encryption key.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(offline, name="offline")


@offline.command("recover")
def recover(data: Data = None, yes: Yes = False) -> None:
    """Make a one-day key of the security duty, for when every operator key is lost. It is audited."""
    from pearlstreet.app.settings import load_settings
    from pearlstreet.app.wiring import open_store
    from pearlstreet.tenancy import bootstrap

    settings = load_settings(data, {})
    _needs_no_server(settings.data)
    if not yes:
        typer.confirm(
            say("Make a security key of the center in {data}?", data=str(settings.data)), abort=True
        )
    store = open_store(settings)
    try:
        issued = bootstrap.recover(store)
    finally:
        store.close()
    warn(say("The key is shown once and ends in a day:"))
    sys.stdout.write(issued.credential + "\n")


@offline.command("rotate-key")
def rotate_key(data: Data = None, yes: Yes = False) -> None:
    """Change the encryption key and seal every secret anew. Keep a copy of the new key file."""
    from pearlstreet.app.backup_commands import KEY
    from pearlstreet.app.settings import load_settings
    from pearlstreet.app.wiring import open_store
    from pearlstreet.store.keyring import rotate

    settings = load_settings(data, {})
    _needs_no_server(settings.data)
    if not yes:
        typer.confirm(
            say("Change the encryption key of the center in {data}?", data=str(settings.data)), abort=True
        )
    store = open_store(settings)
    try:
        count = rotate(store, settings.data / KEY)
    finally:
        store.close()
    done(
        plural(
            "{count} secret is sealed under the new key in {file}",
            "{count} secrets are sealed under the new key in {file}",
            count=count,
            file=str(settings.data / KEY),
        )
    )


def _needs_no_server(data: Path) -> None:
    from pearlstreet.app.state import running

    if running(data) is not None:
        raise Conflict(text("A center runs from {folder}", folder=str(data)), hint=text("pearl down ends it"))
