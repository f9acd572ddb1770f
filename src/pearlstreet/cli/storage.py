"""Commands on storage: how much is stored, for how long, and deletion."""

from __future__ import annotations

from typing import Annotated

import typer

from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.output import confirm, done, say, say_plural, show_lines, table
from pearlstreet.cli.profile import client

storage = typer.Typer(help="Storage: what is stored, for how long, delete.", no_args_is_help=True)
Project = Annotated[str | None, typer.Option(help="Only this project")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(storage, name="storage")


@storage.command("list")
def list_storage(org: Org = None, as_json: Json = False) -> None:
    """Show what each project stores, what still fits, for how long outputs are kept, what a month costs."""
    with client() as center:
        rows = center.storage.list(org)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Project", "Stored", "Still fits", "Outputs are kept", "Yuan per month"),
        [
            (
                row["project"],
                format_bytes(row["stored_bytes"]),
                say("no limit") if row["left_bytes"] is None else format_bytes(row["left_bytes"]),
                say_plural("{count} day", "{count} days", count=row["kept_days"])
                if row["kept_days"]
                else say("for ever"),
                row["month_cost"],
            )
            for row in rows
        ],
        right=(1, 2, 4),
    )


@storage.command("retention")
def set_retention(
    days: Annotated[int, typer.Argument(help="Days; 0: for ever")], org: Org = None, project: Project = None
) -> None:
    """Set how long new outputs are kept. Existing outputs keep their date."""
    with client() as center:
        made = center.storage.set_retention(org_of(org), days, project=project)
    for_days = plural(
        "Outputs are kept for {count} day", "Outputs are kept for {count} days", count=made["days"]
    )
    done(for_days if made["days"] else text("Outputs are kept for ever"))


@storage.command("reset-retention")
def reset_retention(org: Org = None, project: Project = None, yes: Yes = False) -> None:
    """Take a rule away: that of the organisation, or of the center, holds again."""
    confirm("Take the retention rule away?", yes)
    with client() as center:
        center.storage.delete_retention(org_of(org), project=project)
    done("The retention rule is gone")


@storage.command("delete")
def delete_file(
    file: Annotated[str, typer.Argument(help="An upload or an output, by its id")], yes: Yes = False
) -> None:
    """Delete an upload or an output for good."""
    confirm("Delete {file} for good?", yes, file=file)
    with client() as center:
        if file.startswith("upl_"):
            gone = center.storage.delete_upload(file)["name"]
        else:
            gone = center.storage.delete_artefact(file)["path"]
    done("{file} is deleted", file=gone)


@storage.command("pin")
def pin(
    artefact: Annotated[str, typer.Argument(help="An output, by its id (pearl artefacts JOB --json)")],
    unpin: Annotated[bool, typer.Option("--undo", help="Let time delete it again")] = False,
) -> None:
    """Keep an output whatever the retention says."""
    with client() as center:
        row = center.storage.pin(artefact, pinned=not unpin)
    done("{file} is no longer pinned" if unpin else "{file} is pinned", file=row["path"])
