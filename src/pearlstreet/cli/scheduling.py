"""Commands on scheduling: policy, queues, maintenance and reservations, decisions."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.output import (
    confirm,
    done,
    facts,
    out,
    say,
    show_json,
    show_lines,
    table,
    time_cell,
    who,
)
from pearlstreet.cli.profile import client

if TYPE_CHECKING:
    from pearlstreet.client import results

policy = typer.Typer(help="The scheduling policy: show, set, history, rollback.", no_args_is_help=True)
queues = typer.Typer(help="Queues that jobs may name: list, set, remove.", no_args_is_help=True)
windows = typer.Typer(
    help="Maintenance and reservations: list, maintain, reserve, end.", no_args_is_help=True
)
decisions = typer.Typer(help="What the planner decided: list, show, replay.", no_args_is_help=True)

Note = Annotated[str, typer.Option(help="Why; kept with the version")]
Limit = Annotated[int, typer.Option(help="How many, newest first")]
Settings = Annotated[
    list[str] | None, typer.Argument(help="NAME=VALUE, e.g. order=fair-share", metavar="NAME=VALUE...")
]
QueueArg = Annotated[str, typer.Argument(help="Name of the queue", metavar="QUEUE")]
Until = Annotated[str, typer.Option(help="When it ends, e.g. 2026-01-31T08:00:00Z")]
Start = Annotated[str | None, typer.Option("--from", help="When it begins (default: now)")]
Reason = Annotated[str, typer.Option(help="Why; tenants read it")]
OfEngine = Annotated[str | None, typer.Option("--engine", help="All nodes that this engine has now")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(policy, name="policy")
    app.add_typer(queues, name="queues")
    app.add_typer(windows, name="windows")
    app.add_typer(decisions, name="decisions")


def read_settings(pairs: list[str] | None, *, opens: bool = False) -> dict[str, object]:
    """Return NAME=VALUE pairs; numbers as numbers, and with `opens` an empty value as none. Raises InvalidInput."""
    found: dict[str, object] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals:
            message = text("{pair} is not NAME=VALUE", pair=pair)
            raise InvalidInput(message, problems=[Problem(pair[:40], message)])
        found[name.strip().replace("-", "_")] = None if opens and not value else _value(value)
    return found


def _value(written: str) -> object:
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(written.lower(), written)


@policy.command("show")
def show_policy(as_json: Json = False) -> None:
    """Show the policy that rules."""
    with client() as center:
        found = center.policy.show()
    if as_json:
        show_json(found)
        return
    shown = {
        "Version": found["number"],
        "Set": time_cell(found["made"]) if found["made"] else say("by the center's settings"),
    }
    if found["made_by"]:
        shown["By"] = who(found["made_by"])
    if found["note"]:
        shown["Note"] = found["note"]
    facts(shown | {"Default queue": found["default_queue"]})
    out.title("Settings")
    table(
        ("Setting", "Value", "Choices"),
        [
            (
                name,
                _short(value),
                ", ".join(found["choices"].get(name, ())),
            )
            for name, value in found["settings"].items()
        ],
    )
    for kind, labels in found["labels"].items():
        out.title(kind)
        facts(labels)


@policy.command("set")
def set_policy(
    settings: Settings = None,
    default_queue: Annotated[
        str | None, typer.Option("--default-queue", help="The queue of jobs that name none")
    ] = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Change settings while the center runs; the others stay as they are."""
    with client() as center:
        made = center.policy.set(read_settings(settings), default_queue=default_queue, note=note)
    if as_json:
        show_json(made)
        return
    done("Version {number} of the scheduling policy is in force", number=made["number"])


@policy.command("history")
def history(limit: Limit = 30, as_json: Json = False) -> None:
    """List versions: who made them, when, why, and what each changed."""
    with client() as center:
        rows = list(islice(center.policy.history(limit=min(limit, 500)), limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Version", "Time (UTC)", "Who", "Changes", "Note"),
        [(r["number"], time_cell(r["made"]), who(r["made_by"]), _changed(r), r["note"]) for r in rows],
        right=(0,),
    )


def _changed(row: results.Version) -> str:
    words = [f"{name}: {_short(was)} → {_short(now)}" for name, (was, now) in row["changed"].items()]
    if row["back_to"] is not None:
        words.insert(0, say("back to version {number}", number=row["back_to"]))
    return "; ".join(words)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_short(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@policy.command("rollback")
def rollback(
    number: Annotated[
        int, typer.Argument(help="Version; 0 is that of the center's settings", metavar="VERSION")
    ],
    note: Note = "",
    yes: Yes = False,
) -> None:
    """Make an earlier version rule again, queues included."""
    confirm("Go back to version {number} of the scheduling policy?", yes, number=number)
    with client() as center:
        made = center.policy.rollback(number, note=note)
    done("Version {number} of the scheduling policy is in force", number=made["number"])


@queues.command("list")
def list_queues(as_json: Json = False) -> None:
    """List queues that you may use; operators see all of them."""
    with client() as center:
        rows = center.queues.list()
    if as_json:
        show_lines(rows)
        return
    table(
        ("Queue", "Title", "Default", "Rank", "Engines", "Its own settings", "Open to"),
        [
            (
                r["name"],
                r["title"],
                r["is_default"],
                r["rank"],
                _short(r["engines"]),
                _short(r["settings"]),
                _short(r["allowed"]),
            )
            for r in rows
        ],
        right=(3,),
    )


@queues.command("set")
def set_queue(
    queue: QueueArg,
    settings: Settings = None,
    rank: Annotated[int | None, typer.Option(help="Queues of a lower rank are planned first")] = None,
    title: Annotated[str | None, typer.Option(help="What it is for")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Only these may use it: ORG or ORG/PROJECT")] = None,
    allow_all: Annotated[bool, typer.Option("--allow-all", help="Everybody may use it")] = False,
    engine: Annotated[
        list[str] | None, typer.Option(help="Only nodes of these engines run its jobs (pearl engines)")
    ] = None,
    all_engines: Annotated[bool, typer.Option("--all-engines", help="All engines run its jobs")] = False,
    note: Note = "",
) -> None:
    """Set up a queue, or change one; an empty VALUE means: as the center."""
    allowed = [] if allow_all else allow
    with client() as center:
        center.queues.set(
            queue,
            rank=rank,
            title=title,
            settings=read_settings(settings, opens=True),
            allowed=allowed,
            engines=[] if all_engines else engine,
            note=note,
        )
    done("The queue {queue} is set", queue=queue)


@queues.command("remove")
def remove_queue(queue: QueueArg, note: Note = "", yes: Yes = False) -> None:
    """Take a queue away; jobs that wait in it move to the default queue."""
    confirm("Take the queue {queue} away?", yes, queue=queue)
    with client() as center:
        center.queues.remove(queue, note=note)
    done("The queue {queue} is deleted", queue=queue)


@windows.command("list")
def list_windows(
    over: Annotated[bool, typer.Option("--over", help="Also those that are over")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List maintenance and reservations, newest first."""
    with client() as center:
        rows = list(islice(center.windows.list(over=over, limit=min(limit, 500)), limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Window", "Kind", "From (UTC)", "Until (UTC)", "Kept free", "For whom", "Reason"),
        [
            (
                r["id"],
                say(r["kind"]),
                time_cell(r["from"]),
                time_cell(r["ended"] or r["until"]),
                _held(r),
                r["owner"],
                r["reason"],
            )
            for r in rows
        ],
    )


def _held(row: results.Window) -> str:
    if row["cards"] is not None:
        return f"{row['cards']} × {row['model']}"
    nodes = [held["node"] for held in row["held"]]
    return ", ".join(nodes[:3]) + (f" … ({len(nodes)})" if len(nodes) > 3 else "")


@windows.command("maintain")
def maintain(
    until: Until,
    reason: Reason,
    nodes: Annotated[list[str] | None, typer.Argument(help="Nodes", metavar="NODE...")] = None,
    engine: OfEngine = None,
    start: Start = None,
    as_json: Json = False,
) -> None:
    """Keep nodes, or all nodes of an engine, free for maintenance; whose jobs it will stop is told before."""
    with client() as center:
        made = center.windows.make(
            "maintenance", until, reason, start=start, nodes=nodes or None, engine=engine
        )
    _made(made, as_json)


@windows.command("reserve")
def reserve(
    org: Annotated[str, typer.Argument(help="Organisation whose jobs may run there", metavar="ORG")],
    until: Until,
    reason: Reason,
    node: Annotated[list[str] | None, typer.Option(help="These nodes")] = None,
    model: Annotated[str | None, typer.Option(help="Or cards of this model, e.g. H100")] = None,
    cards: Annotated[int | None, typer.Option(help="How many of them")] = None,
    start: Start = None,
    as_json: Json = False,
) -> None:
    """Reserve nodes, or cards of a model, for an organisation; nothing is stopped for it."""
    with client() as center:
        made = center.windows.make(
            "reservation", until, reason, start=start, nodes=node, model=model, cards=cards, org=org
        )
    _made(made, as_json)


def _made(made: results.Window, as_json: bool) -> None:
    if as_json:
        show_json(made)
        return
    done(
        "{window} is set up: {what}, {begins} to {ends} (UTC)",
        window=made["id"],
        what=_held(made),
        begins=time_cell(made["from"]),
        ends=time_cell(made["until"]),
    )


@windows.command("end")
def end_window(
    window: Annotated[str, typer.Argument(help="Window id", metavar="WINDOW")], yes: Yes = False
) -> None:
    """Take a window back, or end it early."""
    confirm("End the window {window} now?", yes, window=window)
    with client() as center:
        center.windows.end(window)
    done("The window {window} is over", window=window)


DecisionArg = Annotated[str, typer.Argument(help="Decision id", metavar="DECISION")]


@decisions.command("list")
def list_decisions(limit: Limit = 30, as_json: Json = False) -> None:
    """List decisions that are kept, newest first."""
    with client() as center:
        rows = list(islice(center.decisions.list(limit=min(limit, 500)), limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Decision", "Time (UTC)", "Policy", "Waiting", "Running", "Placed", "Preempted", "Resized"),
        [
            (
                r["id"],
                time_cell(r["at"]),
                r["policy"],
                r["waiting"],
                r["running"],
                r["placed"],
                r["preempted"],
                r["resized"],
            )
            for r in rows
        ],
        right=(2, 3, 4, 5, 6, 7),
    )


@decisions.command("show")
def show_decision(decision: DecisionArg) -> None:
    """Show all that is kept of a decision, as JSON: what the planner saw, how it was set, what it answered."""
    with client() as center:
        show_json(center.decisions.show(decision))


@decisions.command("replay")
def replay(decision: DecisionArg, as_json: Json = False) -> None:
    """Plan a decision again; exit code 1 when it comes out differently or its file was changed."""
    with client() as center:
        found = center.decisions.replay(decision)
    if as_json:
        show_json(found)
    else:
        for one in found["differences"]:
            out.print(
                f"{one['what']} {one['job']}: {_short(one['was'])} → {_short(one['now'])}", markup=False
            )
    if found["sealed"] is False:
        raise Conflict(text("The file of {decision} was changed since it was written", decision=decision))
    if not found["identical"]:
        raise Conflict(
            plural(
                "Planned again, {decision} differs in {count} place",
                "Planned again, {decision} differs in {count} places",
                decision=decision,
                count=len(found["differences"]) + found["more"],
            )
        )
    if not as_json:
        done("Planned again, {decision} is identical", decision=decision)
