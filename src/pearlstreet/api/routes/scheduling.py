"""Routes of the scheduling policy, its versions and the queues."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_number
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.compute.scheduling.registry import kinds, labels
from pearlstreet.services.scheduling import (
    QUEUE_SETTINGS,
    SETTINGS,
    Policy,
    PolicyService,
    PolicyVersion,
    QueueView,
    QueueWish,
    sees_everything,
)
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/scheduling", "scheduling")
Setting = str | int | float | bool | list[float] | None
Note = Annotated[str, Field(max_length=500, description="Reason, stored with the version")]


class PolicyOut(Out):
    """A version of the scheduling policy. Number 0 is the configuration file's."""

    number: int
    settings: dict[str, Setting]
    default_queue: str
    made: Time | None
    made_by: str | None
    note: str
    back_to: int | None
    """Number of the version that a rollback copied."""


class PolicyShown(PolicyOut):
    """The policy in force, and the possible values of its settings."""

    choices: dict[str, list[str]]
    labels: dict[str, dict[str, str]]
    """Setting → value → explanation in the language of Accept-Language."""


class PolicyIn(In):
    """Settings to change; omitted ones stay."""

    settings: dict[str, Setting] = Field(default_factory=dict, examples=[{"order": "fair-share"}])
    default_queue: str | None = Field(None, max_length=80)
    note: Note = ""


class VersionOut(PolicyOut):
    """A version and its changes: setting → [old value, new value]."""

    changed: dict[str, object]


class RollbackIn(In):
    """The version to return to."""

    number: int = Field(ge=0, le=2**31 - 1)
    note: Note = ""


def policy_out(policy: Policy, *, full: bool) -> dict[str, object]:
    """Return a version as a PolicyOut; `full`: with its author and note."""
    return {
        "number": policy.number,
        "settings": {name: getattr(policy.planner, name) for name in SETTINGS},
        "default_queue": policy.default_queue,
        "made": time_of(policy.made_us) if policy.number else None,
        "made_by": policy.made_by if full and policy.number else None,
        "note": policy.note if full else "",
        "back_to": policy.back_to,
    }


def _shown(policy: Policy, actor: Actor, language: str) -> dict[str, object]:
    names = {kind: list(found) for kind, found in kinds().items()}
    told = {
        kind: {name: label.render(language) for name, label in labels(kind).items()}
        for kind in names
        if labels(kind)
    }
    return policy_out(policy, full=sees_everything(actor)) | {"choices": names, "labels": told}


@router.get("/policy", tie=Tied.PROJECT, scope="scheduling:read", responses={200: {"model": PolicyShown}})
async def get_scheduling_policy(
    request: Request, policy: PolicyService, actor: Actor = CurrentActor
) -> Response:
    """Get the scheduling policy: order, placement, backfill, preemption and elasticity."""
    return await query(
        lambda: policy.show_policy(actor),
        lambda found: _shown(found, actor, language_of(request)),
    )


@router.patch("/policy", scope="scheduling:write", at_center=True, responses={200: {"model": PolicyShown}})
async def set_scheduling_policy(
    request: Request, body: PolicyIn, policy: PolicyService, actor: Actor = CurrentActor
) -> Response:
    """Change the scheduling policy from the next planning cycle on. Every change is a version."""
    return await command(
        request,
        actor,
        lambda s: policy.on(s).set_policy(
            actor, body.settings, default_queue=body.default_queue, note=body.note
        ),
        lambda found: _shown(found, actor, language_of(request)),
    )


@router.get(
    "/policy/versions",
    scope="decisions:read",
    at_center=True,
    responses={200: {"model": Page[VersionOut]}},
)
async def list_scheduling_policy_versions(
    policy: PolicyService, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List all versions of the policy, newest first, with author, time, reason and changes."""
    before = read_number(cursor)
    return await query(
        lambda: policy.list_versions(actor, before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: str(row.policy.number), _version),
    )


def _version(row: PolicyVersion) -> dict[str, object]:
    return policy_out(row.policy, full=True) | {"changed": dict(row.changed)}


@router.post(
    "/policy/rollback", scope="scheduling:write", at_center=True, responses={200: {"model": PolicyShown}}
)
async def rollback_scheduling_policy(
    request: Request, body: RollbackIn, policy: PolicyService, actor: Actor = CurrentActor
) -> Response:
    """Return to an earlier version, including its queues; 0 is the configuration file's."""
    return await command(
        request,
        actor,
        lambda s: policy.on(s).roll_back(actor, body.number, note=body.note),
        lambda found: _shown(found, actor, language_of(request)),
    )


class QueueOut(Out):
    """A queue, with the settings in which it differs from the center's policy."""

    name: str
    title: str
    is_default: bool
    rank: int
    settings: dict[str, Setting]
    allowed: list[str]
    """Ids of the organisations, or organisation/project, that may use it; empty if all may, and always for tenants."""
    engines: list[str]
    """Engines whose nodes alone run its jobs; empty: all."""


class Queues(Out):
    """Queues, with the default queue first."""

    items: list[QueueOut]


class QueueIn(In):
    """Settings of a queue; omitted ones stay."""

    rank: int | None = Field(None, description="Rank; queues with a lower rank are planned first")
    title: str | None = Field(None, max_length=200)
    settings: dict[str, Setting] = Field(
        default_factory=dict,
        description="Settings of the queue; null: as in the center's policy",
        examples=[{"order": "fifo"}],
    )
    allowed: list[Annotated[str, Field(max_length=161)]] | None = Field(
        None, max_length=1000, description="Allowed organisations (org) or projects (org/project); empty: all"
    )
    engines: list[Annotated[str, Field(max_length=32)]] | None = Field(
        None, max_length=100, description="Engines whose nodes alone run its jobs; empty: all"
    )
    note: Note = ""


def queue_out(view: QueueView) -> dict[str, object]:
    """Return a queue as a QueueOut."""
    return {
        "name": view.name,
        "title": view.title,
        "is_default": view.is_default,
        "rank": view.policy.rank,
        "settings": {
            name: getattr(view.policy, name)
            for name in QUEUE_SETTINGS
            if getattr(view.policy, name) is not None
        },
        "allowed": ["/".join(part for part in pair if part) for pair in view.allowed],
        "engines": list(view.engines),
    }


@router.get("/queues", tie=Tied.PROJECT, scope="scheduling:read", responses={200: {"model": Queues}})
async def list_queues(policy: PolicyService, actor: Actor = CurrentActor) -> Response:
    """List the queues; tenants see those that they may use."""
    return await query(
        lambda: policy.list_queues(actor),
        lambda rows: {"items": [queue_out(row) for row in rows]},
    )


@router.put("/queues/{queue}", scope="scheduling:write", at_center=True, responses={200: {"model": QueueOut}})
async def set_queue(
    request: Request, queue: str, body: QueueIn, policy: PolicyService, actor: Actor = CurrentActor
) -> Response:
    """Create or change a queue, which creates a new version of the policy."""
    wish = QueueWish(body.rank, body.title, body.settings, body.allowed, body.engines)
    return await command(
        request,
        actor,
        lambda s: policy.on(s).set_queue(actor, queue, wish, note=body.note),
        queue_out,
    )


@router.delete(
    "/queues/{queue}", scope="scheduling:write", at_center=True, responses={200: {"model": QueueOut}}
)
async def delete_queue(
    request: Request,
    queue: str,
    policy: PolicyService,
    actor: Actor = CurrentActor,
    note: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Delete a queue. Its waiting jobs move to the default queue."""
    return await command(
        request, actor, lambda s: policy.on(s).remove_queue(actor, queue, note=note), queue_out
    )
