"""`pearl idle`: accelerator-hours that jobs held without using them."""

from __future__ import annotations

from typing import Annotated

import typer

from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import out, say, show_lines, table
from pearlstreet.cli.profile import client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(idle)


def idle(
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation")] = None,
    days: Annotated[float, typer.Option(help="Days to look back")] = 30.0,
    as_json: Json = False,
) -> None:
    """List idle accelerators by project: hours, what they cost, and what stopping idle jobs has saved."""
    with client() as center:
        rows = center.jobs.idle(org=org, days=days)
    if as_json:
        show_lines(rows)
        return
    table(
        (
            "Organisation",
            "Project",
            "Attempts",
            "Card-hours idle",
            "Cost ¥",
            "Warned",
            "Stopped",
            "Saved ¥ (at most)",
        ),
        [
            (
                r["org"],
                r["project"],
                r["attempts"],
                f"{r['hours']:.1f}",
                r["cost"],
                r["warned"],
                r["released"],
                r["saved"],
            )
            for r in rows
        ],
        right=(2, 3, 4, 5, 6, 7),
    )
    if not rows:
        out.print(say("No job held an idle accelerator"))
