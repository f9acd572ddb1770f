"""Pages of jobs: the list with filters and bulk cancellation, and one job with log, charts, placement and cost."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from pearlstreet.base.errors import InvalidInput, PearlError, Unavailable
from pearlstreet.base.text import Text, from_json, plural, text
from pearlstreet.charts.lines import Series, lines
from pearlstreet.compute.engines.protocol import CheckpointEntry
from pearlstreet.compute.engines.shells import ShellOrder
from pearlstreet.compute.hardware.sharing import sharing_label
from pearlstreet.compute.scheduling.explain import WHY_NOT
from pearlstreet.console import stored_files
from pearlstreet.console.bulk_actions import act_on_each
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import (
    PER_PAGE,
    Download,
    PageRequest,
    PageResponse,
    RawResponse,
    Redirect,
    View,
)
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.console.routing import once
from pearlstreet.energy.jobs import job_energy
from pearlstreet.ledger.invoices.model import decimal_text, resource_label
from pearlstreet.ledger.invoices.page import energy_rows
from pearlstreet.services.jobs import ENDED, NEXT_TASKS, JobFilter, JobsService, JobState
from pearlstreet.services.shells import SCOPE as SHELL_SCOPE
from pearlstreet.services.shells import ShellsService
from pearlstreet.services.storage import StorageService

SHELL_WAIT_S = 30.0
"""Time after which a command that was given on the page is ended."""
SHELL_OUTPUT_BYTES = 64 << 10
LOG_BYTES = 1 << 20
ARTEFACTS_SHOWN = 200
CHECKPOINTS_SHOWN = 50
STATES = frozenset(state.value for state in JobState)
CHARTS_MAX = 12


def show(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Show the list of jobs, newest first."""
    states = tuple(JobState(state) for state in request.lists.get("state", ()) if state in STATES)
    several = request.org is None
    wanted = JobFilter(
        org=request.org,
        project_id=request.query.get("project") or None,
        states=states,
        name=request.query.get("name", "")[:200] or None,
        array_id=request.query.get("array") or None,
    )
    found = jobs.list_jobs(
        request.actor, wanted, before=request.query.get("before") or None, limit=PER_PAGE + 1
    )
    shown = found[:PER_PAGE]
    slugs = org_slugs(request) if several and request.actor.may("orgs:read") else {}
    return View(
        "jobs.html",
        {
            "jobs": shown,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "chosen": {state.value for state in states},
            "states": [state.value for state in JobState],
            "org_slugs": slugs,
            "filters": {
                name: request.query[name]
                for name in ("name", "project", "array", "org")
                if request.query.get(name)
            },
            "may_cancel": "jobs:cancel" in request.actor.all_scopes(),
            "may_submit": "jobs:write" in request.actor.all_scopes() and not request.is_operator(),
        },
    )


def cancel_many(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Cancel the selected jobs."""
    chosen = list(request.lists.get("job", ()))[:PER_PAGE]
    if not chosen:
        raise InvalidInput(text("No job is selected"), hint=text("Select the jobs to cancel"))
    result = act_on_each(chosen, partial(jobs.cancel_job, request.actor))
    if result.failed:
        message = plural(
            "{count} job is cancelled; {failed} could not be",
            "{count} jobs are cancelled; {failed} could not be",
            count=result.done,
            failed=result.failed,
        )
        return Redirect("/jobs", message)
    return Redirect(
        "/jobs", plural("{count} job is cancelled", "{count} jobs are cancelled", count=result.done)
    )


PUBLISHED = {
    "waiting": (text("pending"), "wait"),
    "done": (text("published"), "good"),
    "failed": (text("refused"), "bad"),
    "dropped": (text("not published: the job did not succeed"), "quiet"),
    "withheld": (text("withheld"), "wait"),
}
"""Output that becomes a revision → what is said of it, and the look of its badge."""


def show_one(request: PageRequest, jobs: JobsService, shells: ShellsService) -> PageResponse:
    """Show one job."""
    job_id = request.path_params["job"]
    job = jobs.get_job(request.actor, job_id)
    attempts = jobs.list_attempts(request.actor, job_id)
    artefacts = () if job.withheld else jobs.list_artefacts(request.actor, job_id)
    elements = (
        jobs.list_jobs(request.actor, JobFilter(array_id=job_id), limit=PER_PAGE)
        if job.array_size is not None
        else ()
    )
    explanation = jobs.explain_job(request.actor, job_id)
    sentence, unblock = request.say(explanation.sentence), request.say(explanation.unblock)
    details = [request.say(from_json(detail["message"])) for detail in explanation.details]
    return View(
        "job.html",
        {
            "job": job,
            "title": job.name,
            "why": explanation,
            "more_details": [one for one in details if one not in sentence],
            "unblock": "" if unblock.rstrip(".") in sentence else unblock,
            "timeline": jobs.timeline(request.actor, job_id),
            "attempts": [_attempt(attempt) for attempt in attempts],
            "why_not": WHY_NOT,
            "sharing_label": sharing_label,
            "artefacts": artefacts[:ARTEFACTS_SHOWN],
            "artefact_count": len(artefacts),
            "checkpoints": () if job.withheld else _checkpoints(request, jobs),
            "published": PUBLISHED,
            "cost": _cost(request, jobs),
            "energy": _energy(request, job_id),
            "charts": _charts(request, jobs) if job.array_size is None and not job.withheld else (),
            "elements": elements,
            "spec": job.spec,
            "owner_org": org_slugs(request).get(job.org_id, "")
            if request.actor.may("orgs:read", job.org_id)
            else "",
            "tasks": len(attempts[-1]["placement"]["tasks"]) if attempts else job.ask.tasks if job.ask else 1,
            "rank": _rank(request),
            "may_cancel": request.actor.may("jobs:cancel", job.org_id) and job.state not in ENDED,
            "may_submit": request.actor.may("jobs:write", job.org_id),
            "may_exec": job.state is JobState.RUNNING
            and job.array_size is None
            and not job.withheld
            and request.actor.may(SHELL_SCOPE, job.org_id, job.project_id)
            and bool(attempts)
            and shells.has_shells(attempts[-1]["engine"]),
        },
    )


def cancel_one(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Cancel a job, or all elements of an array."""
    job = jobs.cancel_job(request.actor, request.path_params["job"])
    return Redirect(f"/jobs/{job.id}", text("{job} is cancelled", job=job.name))


def run_inside(request: PageRequest, jobs: JobsService, shells: ShellsService) -> PageResponse:
    """Run a command inside a task of the job and show what it writes, for a short while."""
    command = request.form.get("command", "").strip()
    if not command:
        raise InvalidInput(text("Name a command"))
    order = ShellOrder(("sh", "-c", command))
    job = jobs.get_job(request.actor, request.path_params["job"])
    rank = request.form.get("rank", "0")
    shell = shells.on(once(request)).open_shell(
        request.actor,
        job.id,
        int(rank) if rank.isdecimal() and len(rank) < 8 else 0,
        order,
    )
    try:
        data, is_over = shell.wait(SHELL_WAIT_S, SHELL_OUTPUT_BYTES)
    finally:
        shell.close()
    return View(
        "shell.html",
        {
            "title": request.say(text("Command inside {job}", job=job.name)),
            "job": job,
            "command": command,
            "output": data.decode("utf-8", "replace"),
            "is_over": is_over,
            "exit_code": shell.exit_code,
            "wait_s": int(SHELL_WAIT_S),
        },
    )


def log(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Return a part of the log for the page's script, or the whole log as a file if the query has `whole`."""
    job_id, rank = request.path_params["job"], _rank(request)
    offset = request.query.get("offset", "0")
    at = int(offset) if offset.isdecimal() and len(offset) < 18 else 0
    read = partial(jobs.read_log, request.actor, job_id, request.query.get("attempt"), rank)
    part = read(at, LOG_BYTES)
    if "whole" in request.query:
        found, chunks = part, [part.data]
        while found.data and sum(map(len, chunks)) < 256 << 20:
            found = read(found.next_offset, LOG_BYTES)
            chunks.append(found.data)
        return Download(f"{job_id}-{rank}.log", b"".join(chunks))
    headers = {"x-next-offset": str(part.next_offset), "x-ended": str(part.ended).lower()}
    return RawResponse(part.data, "text/plain; charset=utf-8", headers)


def artefact(request: PageRequest, storage: StorageService) -> PageResponse:
    """Download an artefact."""
    row = storage.find_artefact(request.actor, request.path_params["artefact"])
    return Download(str(row["path"]), str(storage.artefact_file(row)))


def _rank(request: PageRequest) -> int:
    rank = request.query.get("rank", "0")
    return int(rank) if rank.isdecimal() and len(rank) < 8 else 0


def _checkpoints(request: PageRequest, jobs: JobsService) -> Sequence[CheckpointEntry]:
    """Return the job's checkpoints; none while its engine does not answer."""
    try:
        return jobs.list_checkpoints(request.actor, request.path_params["job"]).entries[:CHECKPOINTS_SHOWN]
    except Unavailable:
        return ()


def _attempt(row: Mapping[str, Any]) -> dict[str, object]:
    nodes: dict[str, list[int]] = defaultdict(list)
    for task in row["placement"]["tasks"]:
        nodes[task["node"]] += [device["index"] for device in task["devices"]]
    return {
        **row,
        "nodes": dict(nodes),
        "tasks": len(row["placement"]["tasks"]),
        "next_tasks": row["placement"].get(NEXT_TASKS),
        "chosen": row["placement"].get("chosen"),
        "sharing": row["usage"].get("sharing", ""),
        "why_here": from_json(row["why_here"]) if row["why_here"] else None,
        "message": from_json(row["message"]) if row["message"] else None,
    }


def _cost(request: PageRequest, jobs: JobsService) -> dict[str, object]:
    found = jobs.cost(request.actor, request.path_params["job"])
    return {
        "total": found.total,
        "hourly": found.hourly,
        "lines": [
            (
                request.say(resource_label(line.resource)),
                decimal_text(line.quantity),
                request.say(line.unit),
                line.amount,
            )
            for line in found.lines
        ],
    }


def _energy(request: PageRequest, job_id: str) -> dict[str, object] | None:
    """Return the energy of a job, or None before its first attempt."""
    found = job_energy(request.store, request.actor, job_id)
    if not found.attempts:
        return None
    return {
        "rows": energy_rows(found.used, request.say),
        "notes": [request.say(note) for note in found.used.notes],
    }


_USE: Mapping[str, tuple[Text, str, float]] = {
    "cpu_percent": (text("CPU"), "%", 1.0),
    "memory_gib": (text("Memory"), "GiB", 1.0),
    "memory_bytes": (text("Memory"), "GiB", 1 / (1 << 30)),
    "utilization_percent": (text("Device use"), "%", 1.0),
    "device_memory_gib": (text("Device memory"), "GiB", 1.0),
    "power_w": (text("Device power"), "W", 1.0),
}
"""Name of a sample → title, unit and factor to that unit."""
_DEVICE = re.compile(r"device_(\d+)_(.+)")
Points = dict[str, list[tuple[int, float]]]
"""Line of a chart → its points (time in µs, value)."""


def _charts(request: PageRequest, jobs: JobsService) -> list[Markup]:
    """Return a chart for each metric that the job wrote, and for each sampled resource."""
    try:
        samples = jobs.read_metrics(request.actor, request.path_params["job"])
    except PearlError:
        return []  # an engine that does not answer must not hide the rest of the page
    found: dict[tuple[str, str], Points] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        for name, value in sample.values.items():
            topic, line = _topic(request, sample.kind, name, sample.rank)
            found[sample.kind, topic][line].append((sample.at_us, float(value)))
    ordered = sorted(found, key=lambda key: (key[0] == "use", key[1]))
    return [_chart(request, kind, name, found[kind, name]) for kind, name in ordered[:CHARTS_MAX]]


def _topic(request: PageRequest, kind: str, name: str, rank: int) -> tuple[str, str]:
    """Return the chart and the line of a sample; all devices share one chart."""
    device = _DEVICE.fullmatch(name) if kind == "use" else None
    if device is None:
        return name, request.say(text("task {rank}", rank=rank))
    topic = "device_memory_gib" if device[2] == "memory_gib" else device[2]
    return topic, f"{rank}:#{device[1]}"


def _chart(request: PageRequest, kind: str, name: str, by_line: Points) -> Markup:
    title, unit, factor = _USE.get(name, (None, "", 1.0)) if kind == "use" else (None, "", 1.0)
    series = [
        Series(line, [(at, value * factor) for at, value in points])
        for line, points in sorted(by_line.items())
    ]
    return lines(request.say(title) if title else name, series, unit=unit)


PAGES = (
    ConsolePage(
        "/jobs",
        text("Jobs"),
        show,
        scope="jobs:read",
        actions={"cancel": cancel_many},
        menu=MenuPlace(MenuGroup.WORK, 2, "jobs", "j"),
    ),
    ConsolePage(
        "/jobs/{job}",
        text("Job"),
        show_one,
        scope="jobs:read",
        actions={
            "cancel": cancel_one,
            "exec": run_inside,
            "pin": stored_files.pin_outputs,
            "unpin": stored_files.unpin_outputs,
            "delete": stored_files.delete_outputs,
        },
    ),
    ConsolePage("/jobs/{job}/log", text("Log"), log, scope="jobs:read"),
    ConsolePage("/artefacts/{artefact}", text("Result"), artefact, scope="jobs:read"),
)
