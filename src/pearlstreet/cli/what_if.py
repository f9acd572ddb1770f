"""Commands on what-if questions: the center's last days under other policies, quotas, queues, windows or machines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import (
    done,
    language,
    out,
    say,
    say_plural,
    show_json,
    show_lines,
    table,
    time_cell,
)
from pearlstreet.cli.profile import client

if TYPE_CHECKING:
    from pearlstreet.client import results

OPEN = frozenset({"waiting", "running"})
POLL_S = 1.0
LESS = "Nodes taken away, by name or e.g. 2x8xH100-80G"
QUOTA = "Another limit, e.g. acme:cards,guaranteed=64,maximum=128; acme:cards,off takes it away. Repeatable"
QUEUE = "A queue set otherwise, e.g. urgent,rank=-10,order=fifo; urgent,off takes it away. Repeatable"
WINDOW = (
    "Something held, e.g. maintenance,nodes=h100-0001,from=36h,for=8h or "
    "reservation,org=acme,model=H100,cards=16,for=3d. Repeatable"
)
what_if = typer.Typer(
    help="What other policies, limits, queues or machines would have done: ask, list, show, stop.",
    no_args_is_help=True,
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
    less: Annotated[str, typer.Option(help=LESS)] = "",
    quota: Annotated[list[str] | None, typer.Option(help=QUOTA)] = None,
    queue: Annotated[list[str] | None, typer.Option(help=QUEUE)] = None,
    window: Annotated[list[str] | None, typer.Option(help=WINDOW)] = None,
    org: Org = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer")] = True,
    as_json: Json = False,
) -> None:
    """Play the last days again with what you suppose, and compare."""
    with client() as center:
        found = center.what_ifs.ask(
            days=days,
            policies=policy or (),
            cluster=cluster,
            extra=extra,
            less=less,
            quotas=quota or (),
            queues=queue or (),
            windows=window or (),
            org=org,
        )
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
        ("Question", "Asked (UTC)", "Days", "Supposed", "Nodes", "State", "Done"),
        [
            (
                r["id"],
                time_cell(r["asked"]),
                r["question"]["days"],
                _supposed(r["question"]),
                _machines(r["question"]),
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


def _supposed(question: results.WhatIfQuestion) -> str:
    """Return the changes of a question other than machines, in words."""
    changes = (question["policies"], question["quotas"], question["queues"], question["windows"])
    return "; ".join(line for lines in changes for line in lines)


def _machines(question: results.WhatIfQuestion) -> str:
    signs = (("", question["cluster"]), ("−", question["less"]), ("+", question["extra"]))
    return " ".join(sign + machines for sign, machines in signs if machines)


def _tell(found: results.WhatIf | results.WholeWhatIf, as_json: bool) -> None:
    if as_json:
        show_json(found)
    elif result := cast("Mapping[str, Any]", found).get("result"):
        _compare(result)
    elif found["state"] in OPEN:
        done("{question} is being played; see: pearl what-if show {question}", question=found["id"])
    if found["state"] == "failed":
        raise Conflict(text("It could not be answered: {why}", why=found["message"] or "-"))


def _compare(result: dict[str, Any]) -> None:
    """Cases have long names: they are numbered, so that their figures fit beside each other."""
    figures = result["figures"].get(language()) or result["figures"]["en"]
    cases = result["cases"]
    for number, case in enumerate(cases, 1):
        cards = say_plural("{count} card", "{count} cards", count=case["cards"])
        out.print(
            f"({number}) {case['name']}, {cards}",
            markup=False,
        )
    out.print()
    actual = result.get("actual")  # answers stored by older versions have no actual figures
    if actual:
        out.print(_against(actual), markup=False)
        out.print()
        figures = [actual["figures"].get(language()) or actual["figures"]["en"], *figures]
    names = [name for name, _ in figures[0]]
    heads = [say("actual")] * bool(actual) + [f"({number})" for number in range(1, len(cases) + 1)]
    table(
        ("Figure", *heads),
        [(name, *(rows[row][1] for rows in figures)) for row, name in enumerate(names)],
        right=tuple(range(1, len(heads) + 1)),
    )
    if len(cases) > 1 and not result.get("differs", True):
        out.print()
        out.print(
            say("Nothing differs: what is supposed would have changed no job's waiting, stops or end."),
            markup=False,
        )


def _against(actual: dict[str, Any]) -> str:
    """Return the sentence about what was replayed and what it is compared with."""
    counts = {name: f"{actual[name]:,}" for name in ("ended", "running", "waiting")}
    found = say(
        "Replayed against actual; when it was asked, jobs that had ended: {ended}, running: {running}, waiting: {waiting}.",
        **counts,
    )
    return (
        found
        + " "
        + say(
            "A running job is replayed with the time it had run, a waiting one with the median run time of its user's past jobs."
        )
    )
