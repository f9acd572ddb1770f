"""Routes of what-if simulations: recent jobs under other policies, quotas, queues or windows, or on other nodes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of, words
from pearlstreet.api.request_inputs import Org, language_of, org_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, query
from pearlstreet.compute.whatif import service
from pearlstreet.compute.whatif.service import WhatIf, WhatIfQuestion
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/what-ifs", "scheduling")
Line = Annotated[str, Field(max_length=400)]


class WhatIfIn(In):
    """A what-if simulation. At least one field besides `days` is required."""

    days: int = Field(30, ge=1, le=92, description="Number of past days whose jobs are replayed")
    policies: list[Line] = Field(
        default_factory=list, max_length=4, examples=[["fifo", "shortest,backfill=greedy"]]
    )
    cluster: Line = Field("", description="Nodes, such as 4x8xH100-80G; by default the center's")
    extra: Line = Field("", description="Nodes to add")
    less: Line = Field("", description="Nodes to remove, by name or as 2x8xH100")
    quotas: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Quotas to change; ORG[/PROJECT]:RESOURCE,off removes one",
        examples=[["acme:cards,guaranteed=64,maximum=128", "acme/vision:cards:H100,off"]],
    )
    queues: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Queues to change, with the settings of the policy; NAME,off removes one",
        examples=[["urgent,rank=-10,order=fifo"]],
    )
    windows: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Maintenance and reservations; a duration counts from the first submission",
        examples=[
            [
                "maintenance,nodes=h100-0001|h100-0002,from=36h,for=8h",
                "reservation,org=acme,model=H100,cards=16,from=2026-01-31T08:00Z,until=2026-02-02T08:00Z",
            ]
        ],
    )


class WhatIfQuestionOut(Out):
    """The parameters of a what-if simulation."""

    days: int
    policies: list[str]
    cluster: str
    extra: str
    less: str
    quotas: list[str]
    queues: list[str]
    windows: list[str]


class WhatIfOut(Out):
    """A what-if simulation and its progress."""

    id: str
    org_id: str | None
    asked: Time
    question: WhatIfQuestionOut
    state: str
    progress: float
    message: str | None
    ended: Time | None


class WholeWhatIfOut(WhatIfOut):
    """A what-if simulation with its result: figures and curves of each case."""

    result: dict[str, object] | None


class WhatIfs(Out):
    """What-if simulations, newest first."""

    items: list[WhatIfOut]


def what_if_out(found: WhatIf, language: str) -> dict[str, object]:
    """Return a what-if simulation as a WhatIfOut."""
    return {
        "id": found.id,
        "org_id": found.org_id,
        "asked": time_of(found.asked_us),
        "question": {
            "days": found.question.days,
            "policies": list(found.question.policies),
            "cluster": found.question.cluster,
            "extra": found.question.extra,
            "less": found.question.less,
            "quotas": list(found.question.quotas),
            "queues": list(found.question.queues),
            "windows": list(found.question.windows),
        },
        "state": found.state,
        "progress": found.progress,
        "message": words(found.message, language),
        "ended": time_of(found.ended_us),
    }


@router.get("", scope="jobs:read", responses={200: {"model": WhatIfs}})
async def list_what_ifs(request: Request, actor: Actor = CurrentActor, org: Org = None) -> Response:
    """List the what-if simulations of an organisation, or all that the caller may see."""
    store, language = center_of(request).store, language_of(request)
    return await query(
        lambda: service.list_what_ifs(store, actor, org),
        lambda rows: {"items": [what_if_out(row, language) for row in rows]},
    )


@router.post(
    "", scope="jobs:read", location="/what-ifs/{id}", status_code=201, responses={201: {"model": WhatIfOut}}
)
async def create_what_if(
    request: Request, body: WhatIfIn, actor: Actor = CurrentActor, org: Org = None
) -> Response:
    """Start a what-if simulation of an organisation's recent jobs, or for operators of all, in a separate process."""
    language = language_of(request)
    question = WhatIfQuestion(
        body.days,
        tuple(body.policies),
        body.cluster,
        body.extra,
        body.less,
        tuple(body.quotas),
        tuple(body.queues),
        tuple(body.windows),
    )
    target = org if org is not None or actor.operator_roles else org_of(actor, None)
    return await command(
        request,
        actor,
        lambda s: service.ask_what_if(s, actor, question, target),
        lambda found: what_if_out(found, language),
        status=201,
    )


@router.get("/{what_if}", scope="jobs:read", responses={200: {"model": WholeWhatIfOut}})
async def get_what_if(request: Request, what_if: str, actor: Actor = CurrentActor) -> Response:
    """Get a what-if simulation with its result."""
    store, language = center_of(request).store, language_of(request)
    return await query(
        lambda: service.get_what_if(store, actor, what_if),
        lambda found: what_if_out(found, language) | {"result": found.result},
    )


@router.delete("/{what_if}", scope="jobs:read", responses={200: {"model": WhatIfOut}})
async def stop_what_if(request: Request, what_if: str, actor: Actor = CurrentActor) -> Response:
    """Stop a running what-if simulation."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda s: service.stop_what_if(s, actor, what_if),
        lambda found: what_if_out(found, language),
    )
