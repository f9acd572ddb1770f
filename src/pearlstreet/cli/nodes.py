"""Machines: what they have, what is in use, what they can do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.text import text
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.output import (
    confirm,
    done,
    err,
    facts,
    out,
    say,
    say_plural,
    show_json,
    show_lines,
    table,
    warn,
)
from pearlstreet.cli.profile import client

if TYPE_CHECKING:
    from pearlstreet.client import results
    from pearlstreet.client.client import Client
    from pearlstreet.compute.hardware.bench.node import Progress
    from pearlstreet.compute.hardware.bench.result import BenchResult, Measurement

nodes = typer.Typer(help="Machines: list, drain, undrain.", invoke_without_command=True)
bench = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)
NAMES_SHOWN = 5
BURN_IN_POLL_S = 2.0
NodeArg = Annotated[str, typer.Argument(help="Node", metavar="NODE")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(nodes, name="nodes")
    app.command("accelerators")(accelerators)
    app.add_typer(bench, name="bench")


@nodes.callback()
def list_nodes(
    context: typer.Context,
    devices: Annotated[bool, typer.Option("--devices", "-d", help="A line for each accelerator")] = False,
    engine: Annotated[str | None, typer.Option(help="Only nodes of this engine")] = None,
    as_json: Json = False,
) -> None:
    """Show machines, accelerators, health, and capacity in cards and PFLOPS."""
    if context.invoked_subcommand is not None:
        return
    with client() as center:
        found = center.nodes.list(engine)
    if as_json:
        show_json(found)
        return
    rows = found["items"]
    table(
        (
            "Node",
            "Engine",
            "State",
            "Cores",
            "Memory GiB",
            "Disk GiB",
            "Accelerators",
            "Used",
            "Isolation",
            "Rack",
        ),
        [_node(row) for row in rows],
        right=(3, 4, 5, 7),
    )
    for row in rows:
        if row["health_reason"] or row["drain_reason"]:
            warn(f"{row['name']}: {row['health_reason'] or row['drain_reason']}")
        elif row["health"]["findings"]:
            warn(f"{row['name']}: {row['health']['findings'][0]['words']}")
    for gap, names in _gaps(rows).items():
        warn(f"{', '.join(names)}: {gap}")
    if devices:
        _show_devices(rows)
    _show_capacity(found["capacity"])
    if any(device["untested"] for row in rows for device in row["devices"]):
        warn(
            text(
                "Some accelerators were found by probes that nobody has run on that hardware yet (untested on hardware)"
            )
        )


def _gaps(rows: list[results.Node]) -> dict[str, list[str]]:
    """Return, for each gap of isolation, the nodes that have it; only the first ones, as there may be hundreds."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for gap in row["isolation_gaps"] if row["present"] else ():
            names = found.setdefault(gap, [])
            if len(names) < NAMES_SHOWN:
                names.append(row["name"])
            elif len(names) == NAMES_SHOWN:
                names.append("…")
    return found


def _node(row: results.Node) -> tuple[object, ...]:
    cards: dict[str, list[results.Device]] = {}
    for device in row["devices"]:
        cards.setdefault(device["model"], []).append(device)
    shown = "\n".join(f"{len(group)}×{model}" for model, group in cards.items())
    used = "\n".join(f"{sum(d['given_percent'] for d in group) / 100:g}" for group in cards.values())
    state = "ready"
    for name, holds in (
        ("absent", not row["present"]),
        ("unhealthy", not row["healthy"]),
        ("drained", row["drained"]),
    ):
        state = name if holds and state == "ready" else state
    cpus = f"{row['cpus_given']:g}/{row['cpus']:g}"
    memory = f"{row['memory_given_gib']:.0f}/{row['memory_gib']:.0f}"
    return (
        row["name"],
        row["engine"],
        state,
        cpus,
        memory,
        f"{row['disk_gib']:.0f}",
        shown,
        used,
        row["isolation"],
        row["rack"],
    )


def _show_devices(rows: list[results.Node]) -> None:
    out.title("Accelerators")
    table(
        ("Node", "Number", "Model", "Device GiB", "Use %", "°C", "W", "Health", "PFLOPS", "Jobs"),
        [
            (
                row["name"],
                device["index"],
                device["model"] + (f" ({say('untested on hardware')})" if device["untested"] else ""),
                f"{device['memory_gib']:g}",
                device["utilization_percent"],
                device["temperature_c"],
                device["power_w"],
                "good" if device["healthy"] else device["health_reason"],
                f"{device['normalised_pflops']:.4g} {say(device['normalised_basis'])}",
                "\n".join(device["jobs"]),
            )
            for row in rows
            for device in row["devices"]
        ],
        right=(1, 3, 4, 5, 6),
    )


def _show_capacity(capacity: results.Capacity) -> None:
    shown: dict[str, object] = {"Nodes": capacity["nodes"]}
    if capacity["cards"]:
        shown["Cards"] = say(
            "{cards} ({given} in use, {healthy} healthy)",
            cards=capacity["cards"],
            given=f"{capacity['cards_given']:g}",
            healthy=capacity["cards_healthy"],
        )
        shown["Peak PFLOPS"] = f"{capacity['peak_pflops']:.4g}"
        shown["Measured PFLOPS"] = say_plural(
            "{pflops} ({count} card measured)",
            "{pflops} ({count} cards measured)",
            pflops=f"{capacity['measured_pflops']:.4g}",
            count=capacity["measured_cards"],
        )
        shown["Normalised PFLOPS"] = f"{capacity['normalised_pflops']:.4g}"
    if capacity.get("cpu_pflops"):
        shown["CPUs, measured PFLOPS"] = f"{capacity['cpu_pflops']:.4g}"
    elif not capacity["cards"]:
        shown["CPUs, measured PFLOPS"] = say("not measured yet: pearl bench node")
    out.print()
    facts(shown)


@nodes.command("drain")
def drain(node: NodeArg, reason: Annotated[str, typer.Option(help="Why")] = "", yes: Yes = False) -> None:
    """Place no new work on a node; what runs there goes on."""
    confirm("Drain {node}?", yes, node=node)
    with client() as center:
        center.nodes.drain(node, reason)
    done("{node} gets no new work", node=node)


@nodes.command("health")
def health(
    node: Annotated[str, typer.Argument(help="Node; all nodes when left out", metavar="NODE")] = "",
    rules: Annotated[
        bool | None,
        typer.Option("--rules/--no-rules", help="Let rules drain the node, or only warn"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show error counters of devices and what the health rules found; switch the rules of a node."""
    if rules is not None and not node:
        raise typer.BadParameter(say("Name a node to switch its rules"))
    with client() as center:
        if rules is not None:
            center.nodes.set_health_rules(node, automatic=rules)
        rows = [row for row in center.nodes.list()["items"] if node in ("", row["name"])]
    if node and not rows:
        raise typer.BadParameter(say("There is no node {name}", name=node))
    if as_json:
        show_json([{"name": row["name"], "health": row["health"], "devices": row["devices"]} for row in rows])
        return
    table(
        ("Node", "Number", "Model", "Counter", "Errors"),
        [
            (row["name"], device["index"], device["model"], counter, f"{value:g}")
            for row in rows
            for device in row["devices"]
            for counter, value in sorted(device["counters"].items())
        ],
        right=(1, 4),
    )
    for row in rows:
        for finding in row["health"]["findings"]:
            warn(f"{row['name']}: {finding['words']}")
        if row["health"]["drained_by_rules"]:
            warn(
                text(
                    "{node} was drained by health rules at {time}",
                    node=row["name"],
                    time=row["health"]["drained_by_rules"],
                )
            )
        if not row["health"]["automatic"]:
            warn(text("{node}: health rules only warn", node=row["name"]))


@nodes.command("undrain")
def undrain(node: NodeArg) -> None:
    """Use a drained node again."""
    with client() as center:
        center.nodes.undrain(node)
    done("{node} is no longer drained", node=node)


def accelerators(
    name: Annotated[str | None, typer.Argument(help="Only those that this names, e.g. H100")] = None,
    as_json: Json = False,
) -> None:
    """List the accelerators that the catalogue knows, with peak rates and memory."""
    with client() as center:
        rows = center.nodes.accelerators(name)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Accelerator", "Vendor", "Device GiB", "bf16 TFLOPS", "fp16 TFLOPS", "fp32 TFLOPS", "W"),
        [
            (
                r["id"],
                r["vendor"],
                r["memory_gib"],
                *(r["peak_tflops"].get(p) for p in ("bf16", "fp16", "fp32")),
                r["power_w"],
            )
            for r in rows
        ],
        right=(2, 3, 4, 5, 6),
    )


@bench.command("node")
def bench_node(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Nodes of the center; this machine when left out", metavar="[NODE]..."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All nodes of the center")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the results of nodes of the center")
    ] = True,
    budget_s: Annotated[
        float, typer.Option("--budget-s", help="How long to measure, in seconds", min=1)
    ] = 20.0,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the result at the center")] = True,
    as_json: Json = False,
) -> None:
    """Measure this machine's CPU and accelerators, or run a burn-in on nodes of the center as soon as they are idle."""
    if names or every:
        _burn_in(names or [], every=every, wait=wait, as_json=as_json)
        return
    import json

    from pearlstreet.base.clock import SystemClock
    from pearlstreet.compute.hardware.bench import measure_node
    from pearlstreet.compute.hardware.node import probe_node

    report = probe_node()
    found = measure_node(report, SystemClock(), budget_s=budget_s, progress=_progress)
    result: dict[str, object] = json.loads(found.to_json())
    if keep:
        with client() as center:
            result["kept_as"] = center.nodes.keep_benchmark(report.name, result)["id"]
    if as_json:
        show_json(result)
        return
    _show_bench(found)
    if keep:
        done("Kept as {id} for node {node}", id=result["kept_as"], node=report.name)


def _burn_in(names: list[str], *, every: bool, wait: bool, as_json: bool) -> None:
    with client() as center:
        wanted = {row["id"] for row in center.nodes.burn_in(*names, all_nodes=every)}
        rows = _burn_ins_of(center, wanted)
        while wait and any(row["state"] in ("waiting", "running") for row in rows):
            time.sleep(BURN_IN_POLL_S)
            rows = _burn_ins_of(center, wanted)
    if as_json:
        show_json(rows)
        return
    table(
        ("Node", "State", "Figure", "Measured"),
        [
            (row["node"], row["state"], figure, f"{value:.4g}")
            for row in rows
            for figure, value in (row["figures"].items() or [("–", 0.0)])
        ],
        right=(3,),
    )
    for row in rows:
        for problem in (*row["errors"], *row["notices"], row["message"] or ""):
            if problem:
                warn(f"{row['node']}: {problem}")


def _burn_ins_of(center: Client, ids: set[str]) -> list[results.BurnIn]:
    return [row for row in center.nodes.burn_ins() if row["id"] in ids]


def _progress(step: Progress) -> None:
    words = say("Measuring {target} …", target=step.target)
    if step.measurement is not None:
        words = f"{_what(step.measurement)}: {step.measurement.value:.4g} {step.measurement.unit}"
    err.print(f"  {words}", style="dim", markup=False)


def _what(measurement: Measurement) -> str:
    if measurement.what == "memory":
        return say("memory bandwidth")
    return say("matrix product {precision}", precision=measurement.precision)


def _show_bench(found: BenchResult) -> None:
    rows = [
        (
            device.model if device.index is None else f"{device.model} {device.index}",
            _what(m),
            f"{m.value:.4g}",
            m.unit,
            f"{100 * m.spread:.0f} %",
            None if m.peak_share is None else f"{100 * m.peak_share:.0f} %",
        )
        for device in found.devices
        for m in device.measurements
    ]
    table(("Device", "What", "Measured", "Unit", "Spread", "Of peak"), rows, right=(2, 4, 5))
    for device in found.devices:
        if device.untested:
            warn(text("{device}: this way of measuring is untested on hardware", device=device.model))
        for notice in device.notices:
            warn(f"{device.model}: {notice}")
