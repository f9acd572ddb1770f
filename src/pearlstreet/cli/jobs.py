"""Jobs from the terminal: run, jobs, job, logs, cancel, why, artefacts, checkpoints."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pearlstreet.base.clock import SystemClock, from_rfc3339
from pearlstreet.base.durations import format_duration
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli.energy import energy_facts
from pearlstreet.cli.following import ENDED, follow_job, show_log
from pearlstreet.cli.output import (
    confirm,
    done,
    err,
    facts,
    language,
    out,
    say,
    say_plural,
    short,
    show_json,
    show_lines,
    table,
    time_cell,
    uploading,
    warn,
    who,
)
from pearlstreet.cli.profile import client
from pearlstreet.client import results
from pearlstreet.client.packing import packed
from pearlstreet.client.profile import active

if TYPE_CHECKING:
    from pearlstreet.client import Client, results

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON")]
Org = Annotated[str | None, typer.Option("--org", help="Organisation (default: the profile's, else yours)")]
OTHER_COLUMNS = 84
"""Width, in columns of the terminal, that the list of jobs needs besides the reason."""
ENGINE_COLUMN = 12
"""Width that it needs for the engine, shown only if the jobs ran on several."""
JobArg = Annotated[str, typer.Argument(help="Job id", metavar="JOB")]

PUBLISHED = {
    "waiting": text("pending"),
    "done": text("published"),
    "failed": text("refused"),
    "dropped": text("not published: the job did not succeed"),
    "withheld": text("withheld"),
}
"""Output that becomes a revision of the hub → what is said of it."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings={"allow_extra_args": False})(run)
    for command in (jobs, job, logs, cancel, why, artefacts, checkpoints):
        app.command()(command)


def run(
    target: Annotated[
        list[str], typer.Argument(help="job.yaml, or a command after --", metavar="FILE | -- COMMAND...")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the job")] = None,
    project: Annotated[str | None, typer.Option(help="Project that pays")] = None,
    queue: Annotated[str | None, typer.Option(help="Queue to wait in; pearl queues list")] = None,
    accelerator: Annotated[
        str | None, typer.Option("--accelerator", "-a", help="Model, e.g. H100, or any")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Accelerators per task")] = None,
    tasks: Annotated[int | None, typer.Option(help="Tasks that start together")] = None,
    cpus: Annotated[float | None, typer.Option(help="Cores per task")] = None,
    memory_gib: Annotated[float | None, typer.Option("--memory-gib", help="GiB per task")] = None,
    time_limit: Annotated[str | None, typer.Option("--time-limit", "-t", help="e.g. 30m, 2h")] = None,
    package: Annotated[
        list[str] | None, typer.Option("--package", "-p", help="Python package of its environment")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--image", help="Container image instead of packages, e.g. docker.io/library/debian:12"),
    ] = None,
    pull_secret: Annotated[
        str | None, typer.Option("--pull-secret", help="Secret with user:password of the image's registry")
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="File or folder put into its work folder")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Data set of the hub: [NAME=]organisation/name[@REVISION][:/MOUNT]"),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Model of the hub, likewise")] = None,
    variable: Annotated[list[str] | None, typer.Option("--variable", "-e", help="NAME=VALUE")] = None,
    service: Annotated[
        bool, typer.Option("--service", help="It runs until it is cancelled and is started again if it fails")
    ] = False,
    port: Annotated[
        list[str] | None, typer.Option("--port", help="NAME=NUMBER or NUMBER of a port on which it listens")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Show its log and wait for its end")] = False,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """Submit a job: a specification in YAML, or a command with options. With --follow the exit code is the job's."""
    options = {
        "name": name,
        "project": project,
        "queue": queue,
        "tasks": tasks,
        "time_limit": time_limit,
        "per_task": {"accelerator": accelerator, "count": count, "cpus": cpus, "memory_gib": memory_gib},
        "environment": {"packages": package, "image": image, "pull_secret": pull_secret},
        "files": list(file) if file else None,
        "inputs": hub_inputs(dataset or (), model or ()),
        "variables": _variables(variable),
        "service": _service(port) if service or port else None,
    }
    spec, folder = specification(target, options)
    with client() as center:
        body = upload_files(center, spec, folder, org or active().org)
        made = center.jobs.submit(body, org=org or active().org)
        if as_json and not follow:
            show_json(made)
            return
        if made["array_size"] is None:
            done(
                "Submitted {job} ({price} yuan per hour while it runs)",
                job=made["id"],
                price=made["price_per_hour"],
            )
        else:
            done(
                "Submitted {job}; elements: {size} ({price} yuan per hour for each while it runs)",
                job=made["id"],
                size=made["array_size"],
                price=made["price_per_hour"],
            )
        if follow:
            raise typer.Exit(_follow(center, made["id"], as_json))
        if made["array_size"] is None:
            err.print(say("Follow it: pearl logs -f {job}", job=made["id"]), style="dim")
        else:
            err.print(say("See its elements: pearl jobs --array {job}", job=made["id"]), style="dim")


def hub_inputs(datasets: Sequence[str], models: Sequence[str]) -> dict[str, dict[str, str]] | None:
    """Return inputs from the hub: by their name, else by that of the repository in capitals."""
    made: dict[str, dict[str, str]] = {}
    for kind, values in (("dataset", datasets), ("model", models)):
        for value in values:
            name, equals, rest = value.partition("=")
            rest = rest if equals else value
            source, _, mount = rest.partition(":")
            short_name = re.sub(r"[^A-Z0-9_]", "_", source.partition("@")[0].rpartition("/")[2].upper())
            made[name if equals else short_name] = {kind: source} | ({"mount": mount} if mount else {})
    return made or None


def _service(ports: list[str] | None) -> dict[str, object]:
    """Return the service of --port NAME=NUMBER; a number alone is named web."""
    found: dict[str, object] = {}
    for word in ports or ():
        name, equals, number = word.rpartition("=")
        if not number.isdigit():
            message = text("{port} is not NAME=NUMBER", port=word)
            raise InvalidInput(message, problems=[Problem("--port", message)])
        found[name if equals else "web"] = int(number)
    return {"ports": found, "restarts": "failure"}


def _variables(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            message = text("{pair} is not NAME=VALUE", pair=pair)
            raise InvalidInput(message, problems=[Problem("--variable", message)])
        found[name] = value
    return found


def specification(target: list[str], options: Mapping[str, object]) -> tuple[object, Path]:
    """A job from a file or from a command, with options laid over it, and the folder its paths are relative to."""
    from pearlstreet.workload.spec.parse import parse_json
    from pearlstreet.workload.spec.write import to_json

    given = _without_nothing(options)
    if len(target) == 1 and (target[0].endswith((".yaml", ".yml", ".json")) or target[0] == "-"):
        spec, folder = read_specification(Path(target[0]))
        if given:
            spec = parse_json(_merged(to_json(spec), given), local=True)
        return spec, folder
    if not any(part.strip() for part in target):
        raise InvalidInput(text("The command is empty"))
    command = target if len(target) > 1 else target[0]
    name = _name_for(target)
    return parse_json({"command": command, "name": name, **given}, local=True), Path()


def read_specification(path: Path) -> tuple[Any, Path]:
    """Return a job specification (`-`: standard input) and the folder its paths are relative to.

    Raises InvalidInput.
    """
    from pearlstreet.workload.spec.parse import parse_yaml

    if str(path) == "-":
        return parse_yaml(sys.stdin.read(), "-", local=True), Path()
    return parse_yaml(_read(path), path.name, local=True), path.parent


def _name_for(target: list[str]) -> str:
    """Return a name for a command that was given none: the program's, or that of the script an interpreter runs."""
    words = target if len(target) > 1 else target[0].split()
    scripts = [word for word in words[1:] if word.endswith((".py", ".sh"))]
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", Path((scripts or words)[0]).stem).strip("-._")
    return kept[:60] or "job"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        message = text("{file} cannot be read: {problem}", file=str(path), problem=problem)
        raise InvalidInput(message) from None


def _without_nothing(value: Mapping[str, object]) -> dict[str, object]:
    kept = {}
    for name, item in value.items():
        inner = _without_nothing(item) if isinstance(item, Mapping) else item
        if inner not in (None, {}):
            kept[name] = inner
    return kept


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in change.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def upload_files(center: Client, spec: Any, folder: Path, org: str | None) -> dict[str, Any]:
    """Send every local file and folder that `spec` names; the specification to submit. Raises InvalidInput."""
    from pearlstreet.workload.spec.parse import uploads_wanted, with_uploads
    from pearlstreet.workload.spec.write import to_json

    sent: dict[str, tuple[str, bool]] = {}
    for source in uploads_wanted(spec):
        with packed(folder / source) as (path, name, is_archive):
            size = path.stat().st_size
            with uploading(source, size) as progress:
                made = center.files.upload(path, name=name, org=org, progress=progress)
            sent[source] = (made["id"], is_archive)
    return to_json(with_uploads(spec, sent))


def _follow(center: Client, job_id: str, as_json: bool) -> int:
    try:
        ended = follow_job(center, job_id)
    except KeyboardInterrupt:
        err.print(say("It goes on running. Cancel it: pearl cancel {job}", job=job_id))
        raise
    if as_json:
        show_json(ended)
    if ended["state"] == "succeeded":
        done("{job} has succeeded", job=job_id)
        return 0
    reason = ended["reason"] or "-"
    warn(say("{job} has {state}: {reason}", job=job_id, state=say(ended["state"]), reason=reason))
    return int(ended["exit_code"] or 1)


def jobs(
    state: Annotated[list[str] | None, typer.Option("--state", "-s", help="Only these states")] = None,
    name: Annotated[str | None, typer.Option(help="Only names that contain this")] = None,
    array: Annotated[str | None, typer.Option(help="Elements of this array")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first")] = 30,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with client() as center:
        filters = {"org": org or active().org, "state": state, "name": name, "array": array}
        rows = list(islice(center.jobs.list(limit=min(limit, 500), **filters), limit))
    if as_json:
        show_lines(rows)
        return
    # A center with one engine has nothing to tell apart, and the terminal is narrow.
    tells_engine = len({r["engine"] for r in rows if r["engine"]}) > 1
    width = max(14, out.console.width - OTHER_COLUMNS - (ENGINE_COLUMN if tells_engine else 0))
    table(
        ("Job", "Name", "State", *(("Engine",) if tells_engine else ()), "Submitted", "Ran", "Why"),
        [
            (
                r["id"],
                _name(r),
                r["state"],
                *((r["engine"],) if tells_engine else ()),
                r["submitted"][5:16].replace("T", " "),
                _ran(r),
                short(r["reason"], width),
            )
            for r in rows
        ],
        right=(5 if tells_engine else 4,),
    )


def _name(row: results.Job) -> str:
    counts = row["counts"]
    if row["array_size"] is None or counts is None:
        return str(row["name"])
    over = counts["succeeded"] + counts["failed"] + counts["cancelled"]
    return f"{row['name']}[{over}/{row['array_size']}]"


def _ran(row: results.Job) -> str:
    if not row["started"]:
        return "-"
    until_us = from_rfc3339(row["ended"]) if row["ended"] else SystemClock().now_us()
    return format_duration(max(0, until_us - from_rfc3339(row["started"])) // 1_000_000, language())


def job(job_id: JobArg, as_json: Json = False) -> None:
    """Show a job: state, placement, timeline, artefacts, cost."""
    with client() as center:
        found = center.jobs.get(job_id)
        timeline, attempts = center.jobs.timeline(job_id), center.jobs.attempts(job_id)
        left = [] if found["withheld"] else center.jobs.artefacts(job_id)
        cost = center.jobs.cost(job_id)
        is_over = found["state"] in ENDED
        reason = found["reason"] if is_over else center.jobs.why(job_id)["sentence"]
    if as_json:
        show_json(found | {"timeline": timeline, "attempt_list": attempts, "artefacts": left, "cost": cost})
        return
    shown: dict[str, object] = {
        "Job": found["id"],
        "Name": found["name"],
        "State": found["state"],
        "Why": reason,
        "Owner": who(found["owner"]),
        "Queue": found["queue"],
        **({"Engine": found["engine"]} if found["engine"] else {}),
        **({"Quote": found["quote_id"]} if found["quote_id"] else {}),
    }
    price = "Price per hour" if found["array_size"] is None else "Price per hour of each element"
    shown |= {price: found["price_per_hour"], "Cost so far": cost["total"]}
    if found["started"] is not None:
        shown |= energy_facts(cost["energy"])
    if found["counts"] is not None:
        shown["Elements"] = ", ".join(
            f"{count} {say(state)}" for state, count in found["counts"].items() if count
        )
    if found["elastic"] is not None:
        resizes = sum(row["stop_reason"] == "resized" for row in attempts)
        shown["Elastic"] = say_plural(
            "{low} to {high} tasks, resized once",
            "{low} to {high} tasks, resized {count} times",
            low=found["elastic"]["min_tasks"],
            high=found["elastic"]["max_tasks"],
            count=resizes,
        )
    if attempts and attempts[-1]["ready"] is not None:
        shown["Service"] = _service_facts(attempts[-1])
    if found["exit_code"] is not None:
        shown["Exit code"] = found["exit_code"]
    facts(shown)
    for notice in (*found.get("notices", ()), found["withheld"]):
        if notice:
            warn(notice)
    if found["revisions"]:
        out.title("Hub")
        table(
            ("Direction", "Name", "Repository", "Revision", "State", "Reason"),
            [_revision(row) for row in found["revisions"]],
        )
    out.title("Timeline")
    table(
        ("Time (UTC)", "State", "Reason"),
        [(r["at"][:23].replace("T", " "), r["to_state"], r["reason"]) for r in timeline],
    )
    if attempts:
        out.title("Attempts")
        table(
            ("Number", "State", "Tasks", "Engine", "Nodes", "Isolation", "Ended", "Exit code", "Work lost"),
            [_attempt(row) for row in attempts],
        )
    if left:
        out.title("Artefacts")
        table(
            ("File", "Size", "Artefact"),
            [(r["path"], format_bytes(r["size_bytes"]), r["id"]) for r in left],
            right=(1,),
        )


def _revision(row: results.JobRevision) -> tuple[object, ...]:
    """Return the row of a revision that the job reads or makes."""
    kind = "" if row["type"] == "model" else f"{row['type']}s/"
    state = "" if row["direction"] == "input" else PUBLISHED[row["state"]].render(language())
    place = f"{kind}{row['repository']}"
    return row["direction"], row["name"], place, (row["commit"] or "-")[:12], state, row["message"] or ""


def _service_facts(attempt: results.Attempt) -> str:
    """Return readiness, restarts and ports of a service."""
    ready = say("ready") if attempt["ready"] else say("not ready")
    state = ready if attempt["state"] == "running" else attempt["state"]
    restarts = say_plural("{count} restart", "{count} restarts", count=attempt["restarts"])
    ports = ", ".join(dict.fromkeys(one["port"] for one in attempt["endpoints"]))
    return "; ".join(part for part in (state, restarts, ports) if part)


def _attempt(row: results.Attempt) -> tuple[object, ...]:
    nodes = sorted({task["node"] for task in row["placement"]["tasks"]})
    shown = nodes[0] if len(nodes) == 1 else f"{nodes[0]} … ({len(nodes)})"
    ended = row["stop_reason"] if row["stop_reason"] in ("resized", "preempted") else row["end_reason"]
    lost = None if row["lost_s"] is None else format_duration(row["lost_s"])
    wall = row["wall"]
    if row["sharing"] not in (None, "none"):
        kept = _sharing(row["sharing"])
        wall = f"{wall}, {kept}" if wall else kept
    place = (row["engine"], shown, wall)
    return row["number"], row["state"], row["tasks"], *place, ended, row["exit_code"], lost


def logs(
    job_id: JobArg,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the task has ended")] = False,
    rank: Annotated[int, typer.Option(help="Which task")] = 0,
    attempt: Annotated[str | None, typer.Option(help="Which attempt (default: the newest)")] = None,
) -> None:
    """Show what a task wrote."""
    with client() as center:
        show_log(center, job_id, attempt, rank=rank, follow=follow)


def cancel(
    job_ids: Annotated[list[str], typer.Argument(help="Job ids", metavar="JOB...")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: Json = False,
) -> None:
    """Cancel jobs or whole arrays."""
    if sys.stdin.isatty():
        confirm(plural("Cancel {count} job?", "Cancel {count} jobs?", count=len(job_ids)), yes)
    with client() as center:
        answers = [center.jobs.cancel(job_id) for job_id in job_ids]
    if as_json:
        show_lines(answers)
        return
    for answer in answers:
        if answer["counts"] is not None and answer["counts"]["active"]:
            done(
                "Elements of {job}: cancelled {cancelled}, being stopped {active}",
                job=answer["id"],
                cancelled=answer["counts"]["cancelled"],
                active=answer["counts"]["active"],
            )
        elif answer["counts"] is not None:
            done(
                "{job} is over; cancelled elements: {cancelled}",
                job=answer["id"],
                cancelled=answer["counts"]["cancelled"],
            )
        else:
            done("{job} is {state}", job=answer["id"], state=say(answer["state"]))


def why(job_id: JobArg, as_json: Json = False) -> None:
    """Why does it wait, and what would unblock it? Or: why does it run where it does?"""
    with client() as center:
        found = center.jobs.why(job_id)
    if as_json:
        show_json(found)
        return
    out.print(found["sentence"], markup=False)
    for detail in found["details"]:
        if detail["message"] not in found["sentence"]:
            out.print(f"  {detail['message']}", markup=False, style="dim")
    here = found["here"]
    if here is not None:
        nodes = ", ".join(here["nodes"][:5]) + (" …" if len(here["nodes"]) > 5 else "")
        place = say(
            "Placed on {nodes} of engine {engine}; tasks: {tasks}; {model}",
            nodes=nodes,
            engine=here["engine"],
            tasks=here["tasks"],
            model=here["model"] or "CPU",
        )
        if here["sharing"] not in (None, "none"):
            place += "; " + _sharing(here["sharing"])
        out.print(place, markup=False, style="dim")
        if here["backfilled"]:
            out.print(say("It passed jobs ahead of it that could not start yet"), style="dim")
        if here["borrowing"]:
            out.print(say("It borrows what others leave idle"), style="dim")
        if here["chosen"] is not None and here["chosen"]["alternatives"]:
            _alternatives(here["chosen"])
    if found["start_likely"]:
        moments = (found["start_likely"], found["start_earliest"], found["start_latest"])
        times = dict(zip(("likely", "earliest", "latest"), map(time_cell, moments), strict=True))
        if found["start_rough"]:
            shown = say(
                "Likely start, rough: {likely} (hardly later than {latest}, as such jobs went before)",
                **times,
            )
        else:
            shown = say("Likely start: {likely} (between {earliest} and {latest})", **times)
        out.print(shown, style="dim")


def _sharing(sharing: str) -> str:
    """Return how accelerators are shared, in words."""
    from pearlstreet.compute.hardware.sharing import sharing_label

    return sharing_label(sharing).render(language())


def _alternatives(chosen: results.Chosen) -> None:
    """The nodes that came next."""
    from pearlstreet.compute.scheduling.explain import WHY_NOT

    out.print(say("Instead of ({policy}, lower is better):", policy=chosen["policy"]), style="dim")
    rows = [
        (one["node"], f"{one['score']:.4g}", f"+{one['more']:.4g}", WHY_NOT[one["code"]].render(language()))
        for one in chosen["alternatives"]
    ]
    table(("Node", "Score", "Worse by", "Why not"), rows, right=(1, 2))


def _deleted_on(row: Mapping[str, object]) -> str:
    if row["pinned"]:
        return say("never: pinned")
    return say("never") if row["expires_at"] is None else str(row["expires_at"])[:10]


def checkpoints(job_id: JobArg, as_json: Json = False) -> None:
    """List what a job has saved in $PEARL_CHECKPOINT, from which its next attempt goes on."""
    with client() as center:
        found, attempts = center.jobs.checkpoints(job_id), center.jobs.attempts(job_id)
    if as_json:
        show_json(found)
        return
    table(
        ("Checkpoint", "Size", "Saved (UTC)"),
        [
            (r["name"], format_bytes(r["size_bytes"]), r["saved"][:19].replace("T", " "))
            for r in found["items"]
        ],
        right=(1,),
    )
    if found["stored_at"] is not None:
        kept = text(
            "In the object store, for another engine: {size}, stored {time} UTC",
            size=format_bytes(found["stored_bytes"]),
            time=found["stored_at"][:19].replace("T", " "),
        )
        out.print(kept.render(language()))
    lost_s = sum(row["lost_s"] or 0.0 for row in attempts)
    if lost_s:
        note = text(
            "Work lost by stops of the center so far: {lost} s; it is not billed", lost=f"{lost_s:.0f}"
        )
        out.print(note.render(language()))


def artefacts(
    job_id: JobArg,
    to: Annotated[Path | None, typer.Option("--to", help="Download everything into this folder")] = None,
    as_json: Json = False,
) -> None:
    """List what a job left, or download it."""
    with client() as center:
        if to is not None:
            kept = center.files.download_all(job_id, to)
            done(
                plural(
                    "{count} file is in {folder}",
                    "{count} files are in {folder}",
                    count=len(kept),
                    folder=str(to),
                )
            )
            return
        rows = center.jobs.artefacts(job_id)
    if as_json:
        show_lines(rows)
        return
    table(
        ("File", "Size", "Deleted on", "SHA-256"),
        [(r["path"], format_bytes(r["size_bytes"]), _deleted_on(r), r["sha256"][:16]) for r in rows],
        right=(1,),
    )
