"""Commands on calibration: what finished runs and node benchmarks taught the center's estimates."""

from __future__ import annotations

from typing import Annotated

import typer

from pearlstreet.base.text import plural
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import confirm, done, show_lines, table
from pearlstreet.cli.profile import client

calibration = typer.Typer(
    help="What finished runs and node benchmarks taught the estimates: show, reset.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(calibration, name="calibration")


@calibration.command("show")
def show(as_json: Json = False) -> None:
    """Show the factors that estimated times are multiplied with, by device and by your own recipes."""
    with client() as center:
        rows = center.calibration.show()
    if as_json:
        show_lines(rows)
        return
    table(
        ("Device", "Recipe", "Factor", "Deviation", "Runs", "Benchmarks"),
        [
            (
                row["device"],
                row["recipe"],
                f"{row['factor']:.3f}",
                f"{row['deviation']:.3f}",
                row["runs"],
                row["benches"],
            )
            for row in rows
        ],
        right=(2, 3, 4, 5),
    )


@calibration.command("reset")
def reset(
    device: Annotated[str | None, typer.Option(help="Only of this accelerator")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only of this recipe")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
) -> None:
    """Reset the calibration of a device, of a recipe, or all of it."""
    confirm("Forget what was learnt?", yes)
    with client() as center:
        count = center.calibration.reset(device=device, recipe=recipe)
    done(plural("{count} correction is reset", "{count} corrections are reset", count=count))
