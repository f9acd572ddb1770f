"""Engines: the pools of machines of a center, their state, and their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import facts, say, show_json, show_lines, table, time_cell, warn
from pearlstreet.cli.profile import client

if TYPE_CHECKING:
    from pearlstreet.client import results

engines = typer.Typer(help="Engines: list, show, check, reconcile.", invoke_without_command=True)
EngineArg = Annotated[str, typer.Argument(help="Engine", metavar="ENGINE")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(engines, name="engines")
    app.add_typer(engines, name="engine", hidden=True)


@engines.callback()
def list_engines(context: typer.Context, as_json: Json = False) -> None:
    """Show the engines: kind, state, nodes, cards and what each can do."""
    if context.invoked_subcommand is not None:
        return
    with client() as center:
        rows = center.engines.list()
    if as_json:
        show_lines(rows)
        return
    if all(row["details"] is None for row in rows):
        table(("Engine", "Kind", "Can"), [(row["name"], row["kind"], _can(row)) for row in rows])
        return
    table(
        ("Engine", "State", "Kind", "Nodes", "Drained", "Cards", "In use", "PFLOPS", "Attempts", "Isolation"),
        [(row["name"], *_state(row)) for row in rows],
        right=(3, 4, 5, 6, 7, 8),
    )
    for row in rows:
        details = row["details"]
        if details is not None and details["state"] == "silent":
            warn(f"{row['name']}: {details['error']}")


def _state(row: results.Engine) -> tuple[object, ...]:
    details = row["details"]
    if details is None:
        return ("-", row["kind"])
    return (
        details["state"],
        row["kind"],
        f"{details['nodes_available']}/{details['nodes']}",
        details["drained"],
        details["devices"],
        f"{details['cards_given']:g}",
        f"{details['pflops']:.4g}",
        details["attempts"],
        details["wall"],
    )


def _can(row: results.Engine) -> str:
    return ", ".join(say(CAPABILITIES.get(name, name)) for name in row["capabilities"])


CAPABILITIES = {
    "runs_code": "runs code",
    "images": "container images",
    "fractions": "shares of cards",
    "multi_node": "several nodes",
    "shells": "shells",
    "services": "services",
}


@engines.command("show")
def show(engine: EngineArg, as_json: Json = False) -> None:
    """Show one engine."""
    with client() as center:
        found = center.engines.get(engine)
    if as_json:
        show_json(found)
        return
    facts({"Engine": found["name"], "Kind": found["kind"], "Can": _can(found)})
    details = found["details"]
    if details is None:
        return
    facts(
        {
            "State": details["state"],
            "Since": time_cell(details["since"]),
            "Last inventory": time_cell(details["inventory"]),
            "Isolation": details["wall"],
            "Placement": say(PLACEMENTS.get(details["placement"], details["placement"])),
            "Nodes": say(
                "{count} ({available} take new work, {drained} drained)",
                count=details["nodes"],
                available=details["nodes_available"],
                drained=details["drained"],
            ),
            "Cards": say(
                "{cards} ({given} in use, {healthy} healthy)",
                cards=details["devices"],
                given=f"{details['cards_given']:g}",
                healthy=details["devices_healthy"],
            ),
            "Normalised PFLOPS": f"{details['pflops']:.4g}",
            "Attempts": details["attempts"],
            "Last error": details["error"],
            "Last error at": time_cell(details["error_at"]),
        }
    )
    for notice in details["notices"]:
        warn(notice)


PLACEMENTS = {
    "device": "nodes and devices by the center",
    "node": "nodes by the center",
    "engine": "left to the engine",
}


@engines.command("check")
def check(engine: EngineArg, as_json: Json = False) -> None:
    """Check an engine: each check with its problem and what to do. Exit code 1 if jobs cannot run there."""
    with client() as center:
        found = center.engines.check(engine)
    if as_json:
        show_json(found)
    else:
        table(
            ("Check", "Result", "Problem", "What to do"),
            [(one["title"], _result(one), one["problem"], one["fix"]) for one in found["checks"]],
        )
    if not found["ok"]:
        raise typer.Exit(1)


def _result(check: results.EngineCheck) -> str:
    if check["ok"]:
        return "good"
    return "failed" if check["blocking"] else "limited"


@engines.command("reconcile")
def reconcile(
    engine: EngineArg,
    hours: Annotated[
        float, typer.Option("--hours", help="Attempts that ended in the last hours", min=0.01, max=8784)
    ] = 168,
    correct: Annotated[
        bool, typer.Option("--correct", help="Refund what differs and charge the accounted time instead")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare metered attempts with the accounting of the engine's cluster; list those that differ by more than a second."""
    with client() as center:
        found = center.engines.reconcile(engine, hours=hours, correct=correct)
    if as_json:
        show_json(found)
        return
    facts(
        {
            "Compared": found["compared"],
            "Not in the accounting": found["unaccounted"],
            "Differences": len(found["differences"]),
        }
    )
    table(
        ("Attempt", "Cluster job", "Metered from", "to", "Accounted from", "to", "Excess s", "Corrected"),
        [
            (
                one["attempt"],
                one["cluster_job"],
                time_cell(one["start"]),
                time_cell(one["end"]),
                time_cell(one["account_start"]),
                time_cell(one["account_end"]),
                f"{one['excess_s']:g}",
                "yes" if one["corrected"] else "no",
            )
            for one in found["differences"]
        ],
        right=(6,),
    )
