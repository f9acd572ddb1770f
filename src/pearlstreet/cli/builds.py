"""Builds from the terminal: what is built before jobs can start, why it waits, and its log."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from pearlstreet.cli.jobs import Json, Org
from pearlstreet.cli.output import facts, out, say, show_json, show_lines, table, time_cell
from pearlstreet.cli.profile import client

builds = typer.Typer(help="Builds of environments, images and sources: list, show.", no_args_is_help=True)
STATES = ("waiting", "building", "ready", "failed")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(builds, name="builds")


@builds.command("list")
def list_builds(
    org: Org = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: " + ", ".join(STATES))] = None,
    limit: Annotated[int, typer.Option(help="Number of builds", min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """List builds, newest first, with why each waits or failed."""
    with client() as center:
        rows = list(islice(center.builds.list(org=org, state=state, limit=min(limit, 500)), limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Build", "Kind", "What for", "Owner", "State", "Engine", "Started", "Time s", "Reason"),
        [
            (
                row["id"],
                row["kind"],
                row["name"],
                row["owner"],
                row["state"],
                row["engine"],
                time_cell(row["started"]),
                _seconds(row["duration_s"]),
                (row["reason"] or "").partition("\n")[0],
            )
            for row in rows
        ],
        right=(7,),
    )


@builds.command("show")
def show(
    build: Annotated[str, typer.Argument(help="Id of the build", metavar="BUILD")], as_json: Json = False
) -> None:
    """Show a build with the end of its log."""
    with client() as center:
        found = center.builds.get(build)
    if as_json:
        show_json(found)
        return
    facts(
        {
            "Build": found["id"],
            "Kind": found["kind"],
            "What for": found["name"],
            "Owner": found["owner"],
            "Asked by": found["asked_by"],
            "Jobs": ", ".join(found["jobs"]) or None,
            "State": found["state"],
            "Reason": found["reason"],
            "Engine": found["engine"],
            "Node": found["node"],
            "Started": time_cell(found["started"]),
            "Ended": time_cell(found["ended"]),
            "Time s": _seconds(found["duration_s"]),
            "Billed": say("yes") if found["billed"] else say("no"),
        }
    )
    if found["log"]:
        out.print()
        out.print(found["log"], markup=False, highlight=False)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
