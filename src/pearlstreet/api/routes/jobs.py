"""Routes to submit, list, explain, follow and cancel jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from fastapi.responses import PlainTextResponse

from pearlstreet.api.models import Out, Time, Yuan, time_of, words, yuan_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import Org, language_of, org_of, read_json
from pearlstreet.api.routing import (
    CurrentActor,
    SecuredRouter,
    Tied,
    center_of,
    command,
    in_thread,
    peer_of,
    query,
    service_of,
    transaction,
)
from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import Money
from pearlstreet.base.text import from_json
from pearlstreet.http.stream_limiter import LimitedStream
from pearlstreet.hub.model import RepoKind
from pearlstreet.hub.uses import JobRevision
from pearlstreet.services.jobs import (
    NEXT_TASKS,
    JobDraft,
    JobExplanation,
    JobFilter,
    JobsService,
    JobState,
    JobView,
    LogPosition,
    PlacementView,
)
from pearlstreet.tenancy.model import Actor, login_of
from pearlstreet.workload.spec.parse import parse_json, parse_yaml
from pearlstreet.workload.spec.write import json_schema

router = SecuredRouter("/jobs", "jobs")
CHUNK = 1 << 18
SMALL_BYTES = 16 << 10
"""Largest JSON specification parsed on the event loop; larger ones, and YAML, are parsed in a thread."""


class ElasticOut(Out):
    """Range of the number of tasks of an elastic job."""

    min_tasks: int
    max_tasks: int


class JobRevisionOut(Out):
    """A revision of the hub that the job reads (`input`), or that its files become (`output`)."""

    direction: Literal["input", "output"]
    name: str
    """Name of the input, or pattern of the output."""
    type: RepoKind
    repository: str
    commit: str | None
    state: Literal["waiting", "done", "failed", "dropped", "withheld"]
    """`waiting`: the job has not ended; `done`: it is there; `failed`: refused, see `message`; `dropped`: the job did not succeed."""
    message: str | None


class JobOut(Out):
    """A job, an array, or one element of an array."""

    id: str
    name: str
    org_id: str
    project_id: str
    owner: str
    state: JobState
    reason_code: str | None
    reason: str | None
    queue: str
    priority: int
    submitted: Time
    started: Time | None
    ended: Time | None
    exit_code: int | None
    attempts: int
    attempt_id: str | None
    array_id: str | None
    array_index: int | None
    array_size: int | None
    counts: dict[str, int] | None
    price_per_hour: Yuan
    quote_id: str | None
    """Quote that the job was submitted from."""
    engine: str | None
    """Engine of the newest attempt; null before the first."""
    notices: list[str]
    """Warnings for the job's owner; empty in lists."""
    withheld: str | None
    """Reason why outputs, logs, metrics, checkpoints and shells are withheld; null in lists."""
    revisions: list[JobRevisionOut]
    """Revisions of the hub that it reads and makes; empty in lists."""
    elastic: ElasticOut | None
    """Range of the number of tasks; null for jobs that are not elastic."""
    spec: dict[str, object] | None


class TimelineOut(Out):
    """One state change."""

    at: Time
    from_state: str | None
    to_state: str
    event: str
    reason: str | None


class Timeline(Out):
    """Every state change, oldest first."""

    items: list[TimelineOut]


class EndpointOut(Out):
    """A port of one task of a service."""

    rank: int
    port: str


class AttemptOut(Out):
    """One run of a job."""

    id: str
    number: int
    engine: str
    state: str
    placement: dict[str, object]
    tasks: int
    """Number of tasks in this attempt; it differs between the attempts of an elastic job."""
    why_here: str | None
    wall: str | None
    sharing: Literal["exclusive", "mig", "mps", "time_slice", "none"] | None
    """How its accelerators are kept apart from other jobs: whole, MIG instances, shares held by MPS, or shares that take turns
    and are only counted; `none` without accelerators, null: not recorded."""
    placed: Time
    started: Time | None
    ended: Time | None
    stop_reason: str | None
    """Reason why the center stopped the attempt: `resized`, `preempted`, `time_limit` …"""
    next_tasks: int | None
    """Number of tasks of the next attempt, if this one was stopped for a resize."""
    saved: Time | None
    """Time of the last checkpoint that it saved."""
    ready: bool | None
    """Whether all tasks of a service take requests; null: it is no service."""
    restarts: int
    """Number of times that tasks of a service were started again in this attempt."""
    endpoints: list[EndpointOut]
    """Ports of a running service; POST /jobs/{job}/connections and pearl port-forward reach them."""
    lost_s: float | None
    """Work in seconds that its end cost, from the last checkpoint or else its start on; not billed. Null: none was lost."""
    end_reason: str | None
    exit_code: int | None
    message: str | None
    price_per_hour: Yuan


class Attempts(Out):
    """Every attempt, oldest first."""

    items: list[AttemptOut]


class AlternativeOut(Out):
    """A node that was considered and not chosen."""

    node: str
    score: float
    more: float
    """Score difference to the chosen node."""
    code: Literal["loses_more", "packs_worse", "scores_worse"]


class ChosenOut(Out):
    """The choice of a node: its score, and the alternatives. Lower scores are better."""

    policy: str
    score: float
    """Placement score; with `expected-fill` the expected loss of placeable capacity in devices, else in the policy's unit."""
    equal: int
    """Number of other nodes with exactly the same score."""
    alternatives: list[AlternativeOut]
    """Runners-up that the search examined, one node for each different score."""


class HereOut(Out):
    """A placement and the reasons for it."""

    why: str | None
    engine: str
    sharing: Literal["exclusive", "mig", "mps", "time_slice", "none"] | None
    model: str
    nodes: list[str]
    tasks: int
    position: int | None
    backfilled: bool
    borrowing: bool
    chosen: ChosenOut | None
    """The choice of the node; null if several nodes were chosen together."""


class WhyOut(Out):
    """The reason why a job waits, or why it runs on its nodes."""

    sentence: str
    code: str
    position: int | None
    waiting: int | None
    unblock: str | None
    details: list[dict[str, object]]
    start_earliest: Time | None
    start_likely: Time | None
    start_latest: Time | None
    start_rough: bool
    """Whether the start times rest on predicted run times, not on enforced limits, so that `start_latest` may be exceeded."""
    here: HereOut | None
    """The placement; null while the job waits."""


def job_out(view: JobView, language: str) -> dict[str, object]:
    """Return a job as a JobOut, in plain values because this is the hot path."""
    return {
        "id": view.id,
        "name": view.name,
        "org_id": view.org_id,
        "project_id": view.project_id,
        "owner": login_of(view.owner),
        "state": view.state.value,
        "reason_code": view.reason_code,
        "reason": words(view.reason, language),
        "queue": view.queue,
        "priority": view.priority,
        "submitted": time_of(view.submitted_us),
        "started": time_of(view.started_us),
        "ended": time_of(view.ended_us),
        "exit_code": view.exit_code,
        "attempts": view.attempts,
        "attempt_id": view.attempt_id,
        "array_id": view.array_id,
        "array_index": view.array_index,
        "array_size": view.array_size,
        "counts": view.counts,
        "price_per_hour": yuan_of(Money(view.hourly_micro)),
        "quote_id": view.quote_id,
        "engine": view.engine,
        "notices": [words(notice, language) for notice in view.notices],
        "withheld": words(view.withheld, language),
        "revisions": [_job_revision_out(one, language) for one in view.revisions],
        "elastic": {"min_tasks": view.ask.min_tasks, "max_tasks": view.ask.max_tasks}
        if view.ask is not None and view.ask.max_tasks
        else None,
        "spec": view.spec,
    }


def _job_revision_out(one: JobRevision, language: str) -> dict[str, object]:
    return {
        "direction": one.direction,
        "name": one.name,
        "type": one.kind.value,
        "repository": one.repository,
        "commit": one.commit_id,
        "state": one.state,
        "message": words(one.message, language),
    }


class SchemaResponse(Response):
    """A JSON Schema document."""

    media_type = "application/schema+json"


@router.get(
    "/schema",
    public=True,
    response_class=SchemaResponse,
    responses={200: {"content": {SchemaResponse.media_type: {"schema": {"type": "object"}}}}},
)
async def get_job_schema() -> Response:
    """Get the JSON Schema of a job specification."""
    return SchemaResponse(json.dumps(json_schema(), ensure_ascii=False))


async def _submit_quickly(request: Request) -> Response:
    jobs = service_of(request, JobsService)
    return await submit_job(request, jobs, request.state.actor, request.query_params.get("org"))


async def _job_quickly(request: Request) -> Response:
    jobs = service_of(request, JobsService)
    return await get_job(request, request.path_params["job"], jobs, request.state.actor)


@router.post(
    "",
    tie=Tied.PROJECT,
    scope="jobs:write",
    quick=_submit_quickly,
    location="/jobs/{id}",
    status_code=201,
    responses={201: {"model": JobOut}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/JobSpec"}},
                "application/yaml": {"schema": {"type": "string"}},
            },
        }
    },
)
async def submit_job(
    request: Request, jobs: JobsService, actor: Actor = CurrentActor, org: Org = None
) -> Response:
    """Submit a job or an array, as JSON or YAML."""
    body = await request.body()
    language = language_of(request)
    yaml = "yaml" in request.headers.get("content-type", "")
    target = org_of(actor, org)
    draft = partial(_draft, jobs, body, yaml=yaml)
    quickly = len(body) <= SMALL_BYTES and not yaml
    drafted = draft() if quickly else await in_thread(draft)
    return await transaction(
        request,
        actor,
        lambda tx: jobs.write_job(tx, actor, target, drafted),
        lambda view: job_out(view, language),
        status=201,
        body=body,
    )


def _draft(jobs: JobsService, body: bytes, *, yaml: bool) -> JobDraft:
    spec = parse_yaml(body.decode("utf-8", "replace"), "job.yaml") if yaml else parse_json(read_json(body))
    return jobs.draft_job(spec)


@router.get("", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Page[JobOut]}})
async def list_jobs(
    request: Request,
    jobs: JobsService,
    actor: Actor = CurrentActor,
    org: Org = None,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in these states")] = None,
    name: Annotated[
        str | None, Query(max_length=200, description="Only jobs whose name contains this text")
    ] = None,
    array: Annotated[str | None, Query(max_length=80, description="Only elements of this array")] = None,
    project: Annotated[str | None, Query(max_length=80, description="Only jobs of this project (id)")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List jobs, newest first."""
    language = language_of(request)
    wanted = JobFilter(org, project, tuple(state or ()), name, array)
    before = read_cursor(cursor)
    return await query(
        lambda: jobs.list_jobs(actor, wanted, before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, lambda row: job_out(row, language)),
    )


@router.get(
    "/{job}",
    tie=Tied.PROJECT,
    scope="jobs:read",
    quick=_job_quickly,
    responses={200: {"model": JobOut}},
)
async def get_job(request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor) -> Response:
    """Get a job."""
    language = language_of(request)
    return await query(lambda: jobs.get_job(actor, job), lambda view: job_out(view, language))


@router.post("/{job}/cancel", tie=Tied.PROJECT, scope="jobs:cancel", responses={200: {"model": JobOut}})
async def cancel_job(request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor) -> Response:
    """Cancel a job, or every element of an array."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda store: jobs.on(store).cancel_job(actor, job),
        lambda view: job_out(view, language),
    )


@router.get("/{job}/why", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": WhyOut}})
async def explain_job(request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor) -> Response:
    """Explain why a job waits, with its position and how to unblock it, or why it runs on its nodes."""
    language = language_of(request)

    def render(found: JobExplanation) -> dict[str, object]:
        earliest, likely, latest = found.start or (None, None, None)
        return {
            "sentence": words(found.sentence, language),
            "code": found.code,
            "position": found.position,
            "waiting": found.waiting,
            "unblock": words(found.unblock, language),
            "details": [_detail(item, language) for item in found.details],
            "start_earliest": time_of(earliest),
            "start_likely": time_of(likely),
            "start_latest": time_of(latest),
            "start_rough": found.rough,
            "here": _here(found.here, language) if found.here is not None else None,
        }

    return await query(lambda: jobs.explain_job(actor, job), render)


def _here(here: PlacementView, language: str) -> dict[str, object]:
    return {
        "why": words(here.why, language),
        "engine": here.engine,
        "sharing": here.sharing or None,
        "model": here.model,
        "nodes": list(here.nodes),
        "tasks": here.tasks,
        "position": here.position,
        "backfilled": here.backfilled,
        "borrowing": here.borrowing,
        "chosen": here.chosen,
    }


def _detail(item: Mapping[str, Any], language: str) -> dict[str, object]:
    return {**item, "message": from_json(item["message"]).render(language)}


@router.get("/{job}/timeline", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Timeline}})
async def get_job_timeline(
    request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor
) -> Response:
    """List the state changes of a job with their reasons."""
    language = language_of(request)
    return await query(
        lambda: jobs.timeline(actor, job),
        lambda rows: {
            "items": [
                {
                    "at": time_of(row.at_us),
                    "from_state": row.from_state,
                    "to_state": row.to_state,
                    "event": row.event,
                    "reason": words(row.reason, language),
                }
                for row in rows
            ]
        },
    )


@router.get("/{job}/attempts", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Attempts}})
async def list_job_attempts(
    request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor
) -> Response:
    """List the attempts of a job: the placement with its reason, and how each ended."""
    language = language_of(request)
    return await query(
        lambda: jobs.list_attempts(actor, job),
        lambda rows: {"items": [_attempt_out(row, language) for row in rows]},
    )


def _attempt_out(row: Mapping[str, Any], language: str) -> dict[str, object]:
    why_here, message = row["why_here"], row["message"]
    return {
        "id": row["id"],
        "number": row["number"],
        "engine": row["engine"],
        "state": row["state"],
        "placement": row["placement"],
        "tasks": len(row["placement"]["tasks"]),
        "why_here": from_json(why_here).render(language) if why_here else None,
        "wall": row["wall"],
        "sharing": row["usage"].get("sharing") or None,
        "placed": time_of(row["placed_us"]),
        "started": time_of(row["started_us"]),
        "ended": time_of(row["ended_us"]),
        "stop_reason": row["stop_reason"],
        "next_tasks": row["placement"].get(NEXT_TASKS),
        "saved": time_of(row["saved_us"]),
        "ready": row["is_ready"],
        "restarts": row["restarts"],
        "endpoints": [{"rank": one["rank"], "port": one["port"]} for one in row["endpoints"] or ()],
        "lost_s": None if row["lost_us"] is None else row["lost_us"] / US_PER_S,
        "end_reason": row["end_reason"],
        "exit_code": row["exit_code"],
        "message": from_json(message).render(language) if message else None,
        "price_per_hour": yuan_of(Money(row["hourly_micro"])),
    }


@router.get("/{job}/logs", tie=Tied.PROJECT, scope="jobs:read", response_class=PlainTextResponse)
async def read_job_logs(
    request: Request,
    job: str,
    jobs: JobsService,
    actor: Actor = CurrentActor,
    rank: Annotated[int, Query(ge=0, le=1_000_000, description="Rank of the task in its gang")] = 0,
    attempt: Annotated[
        str | None, Query(max_length=80, description="Id of the attempt; by default the newest one")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=1 << 62, description="Byte offset to start from")] = 0,
    follow_: Annotated[bool, Query(alias="follow", description="Stream until the attempt has ended")] = False,
) -> Response:
    """Read the log of a task. The header `x-next-offset` is the offset to continue from."""
    center = center_of(request)
    read = partial(jobs.read_log, actor, job, attempt, rank)
    if not follow_:
        part = await in_thread(partial(read, offset, 1 << 22))
        headers = {"x-next-offset": str(part.next_offset), "x-ended": str(part.ended).lower()}
        return Response(part.data, media_type="text/plain; charset=utf-8", headers=headers)
    ticket = center.streams.open(actor.user_id or actor.label, peer_of(request))
    try:
        pinned = attempt or await in_thread(partial(jobs.newest_attempt, actor, job))
        one = partial(jobs.read_log, actor, job, pinned, rank)
        first = await in_thread(partial(one, offset, CHUNK))
    except BaseException:
        center.streams.close(ticket)
        raise
    # Offsets belong to the log of one attempt, so the stream stays with that attempt.
    position = LogPosition(job, pinned, rank, first.next_offset)

    async def stream() -> AsyncIterator[bytes]:
        if first.data:
            yield first.data
        if not first.ended:
            async for data in request.app.state.log_streams.follow(position):
                yield data

    return LimitedStream(
        stream(), limiter=center.streams, ticket=ticket, media_type="text/plain; charset=utf-8"
    )


class SampleOut(Out):
    """Values measured at one time."""

    at: Time
    rank: int
    kind: str
    values: dict[str, float]


class Samples(Out):
    """Measurements, oldest first."""

    items: list[SampleOut]


@router.get("/{job}/metrics", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Samples}})
async def list_job_metrics(
    request: Request,
    job: str,
    jobs: JobsService,
    actor: Actor = CurrentActor,
    attempt: Annotated[str | None, Query(max_length=80)] = None,
    since_us: Annotated[int, Query(ge=0, le=1 << 62)] = 0,
) -> Response:
    """List a job's use of CPU, memory and devices over time, and the values it wrote to $PEARL_METRICS."""
    return await query(
        lambda: jobs.read_metrics(actor, job, attempt, since_us),
        lambda samples: {
            "items": [
                {"at": time_of(s.at_us), "rank": s.rank, "kind": s.kind, "values": dict(s.values)}
                for s in samples
            ]
        },
    )


class CheckpointOut(Out):
    """A file or folder in place in the job's checkpoint folder."""

    name: str
    size_bytes: int
    saved: Time


class CheckpointsOut(Out):
    """The checkpoints of a job, newest first."""

    engine: str | None
    """Engine that keeps them; null before the first attempt."""
    stored_bytes: int
    """Size of what is in the object store, from which the job goes on elsewhere; counts towards the project's storage."""
    stored_at: Time | None
    """Time at which it was stored; null if nothing is."""
    items: list[CheckpointOut]


@router.get(
    "/{job}/checkpoints", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": CheckpointsOut}}
)
async def list_job_checkpoints(job: str, jobs: JobsService, actor: Actor = CurrentActor) -> Response:
    """List what a job has saved in $PEARL_CHECKPOINT, from which its next attempt goes on."""
    return await query(
        lambda: jobs.list_checkpoints(actor, job),
        lambda found: {
            "engine": found.engine,
            "stored_bytes": found.stored_bytes,
            "stored_at": None if found.stored_us is None else time_of(found.stored_us),
            "items": [
                {"name": one.name, "size_bytes": one.size_bytes, "saved": time_of(one.saved_us)}
                for one in found.entries
            ],
        },
    )


class ArtefactOut(Out):
    """A file that a job wrote to its outputs folder."""

    id: str
    attempt_id: str
    path: str
    size_bytes: int
    sha256: str
    at: Time
    expires_at: Time | None
    """Time of deletion, or null for never."""
    pinned: bool


class Artefacts(Out):
    """The artefacts of a job, ordered by path."""

    items: list[ArtefactOut]


@router.get("/{job}/artefacts", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Artefacts}})
async def list_job_artefacts(job: str, jobs: JobsService, actor: Actor = CurrentActor) -> Response:
    """List the artefacts of a job."""
    return await query(
        lambda: jobs.list_artefacts(actor, job),
        lambda rows: {
            "items": [
                {
                    "id": row["id"],
                    "attempt_id": row["attempt_id"],
                    "path": row["path"],
                    "size_bytes": row["size_bytes"],
                    "sha256": row["sha256"],
                    "at": time_of(row["at_us"]),
                    "expires_at": None if row["pinned"] else time_of(row["expires_us"]),
                    "pinned": row["pinned"],
                }
                for row in rows
            ]
        },
    )
