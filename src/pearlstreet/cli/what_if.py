"""What other policies or more cards would have done to the center's last days."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.cli.output import done, language, out, say, show_json, show_lines, table, time_cell
from pearlstreet.cli.people import Json
from pearlstreet.cli.profile import client

OPEN = frozenset({"waiting", "running"})
POLL_S = 1.0
what_if = typer.Typer(
    help="What other policies or more cards would have done: ask, list, show, stop.", no_args_is_help=True
)
Org = Annotated[str | None, typer.Option(help="Organisation; operators may ask of all")]
Number = Annotated[str, typer.Argument(help="Id of the question", metavar="QUESTION")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(what_if, name="what-if")


@what_if.command("ask")
def ask(
    days: Annotated[int, typer.Option(min=1, max=92, help="How far back the jobs go")] = 30,
    policy: Annotated[
        list[str] | None, typer.Option(help="e.g. shortest,backfill=greedy; repeat to compare several")
    ] = None,
    cluster: Annotated[str, typer.Option(help="e.g. 4x8xH100-80G; empty: the nodes there are")] = "",
    extra: Annotated[str, typer.Option(help="Nodes added to them, e.g. 8x8xH100-80G")] = "",
    org: Org = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer")] = True,
    as_json: Json = False,
) -> None:
    """Play the last days again with other policies or more cards, and compare."""
    with client() as center:
        found = center.what_ifs.ask(days=days, policies=policy or (), cluster=cluster, extra=extra, org=org)
        while wait and found["state"] in OPEN:
            time.sleep(POLL_S)
            found = center.what_ifs.show(found["id"])
    _tell(found, as_json)


@what_if.command("list")
def list_what_ifs(org: Org = None, as_json: Json = False) -> None:
    """List questions, newest first."""
    with client() as center:
        rows = center.what_ifs.list(org=org)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Question", "Asked (UTC)", "Days", "Policies", "Nodes", "State", "Done"),
        [
            (
                r["id"],
                time_cell(r["asked"]),
                r["question"]["days"],
                "; ".join(r["question"]["policies"]),
                r["question"]["cluster"] or (r["question"]["extra"] and "+" + r["question"]["extra"]),
                say(r["state"]),
                f"{r['progress']:.0%}",
            )
            for r in rows
        ],
        right=(2, 6),
    )


@what_if.command("show")
def show(question: Number, as_json: Json = False) -> None:
    """Show a question and its answer."""
    with client() as center:
        found = center.what_ifs.show(question)
    _tell(found, as_json)


@what_if.command("stop")
def stop(question: Number) -> None:
    """Stop a question that is not answered yet."""
    with client() as center:
        center.what_ifs.stop(question)
    done("{question} is stopped", question=question)


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(found)
    elif found.get("result"):
        _compare(found["result"])
    elif found["state"] in OPEN:
        done("{question} is being played; see: pearl what-if show {question}", question=found["id"])
    if found["state"] == "failed":
        raise Conflict(text("It could not be answered: {why}", why=found["message"] or "-"))


def _compare(result: dict[str, Any]) -> None:
    """Cases have long names: they are numbered, so that their figures fit beside each other."""
    figures = result["figures"].get(language()) or result["figures"]["en"]
    cases = result["cases"]
    for number, case in enumerate(cases, 1):
        out.print(f"({number}) {case['name']}, {say('{count} cards', count=case['cards'])}", markup=False)
    out.print()
    names = [name for name, _ in figures[0]]
    numbers = range(1, len(cases) + 1)
    table(
        ("Figure", *(f"({number})" for number in numbers)),
        [(name, *(rows[row][1] for rows in figures)) for row, name in enumerate(names)],
        right=tuple(numbers),
    )
