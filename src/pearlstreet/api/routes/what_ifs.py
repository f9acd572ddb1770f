"""What if: recent jobs under other policies, limits, queues or windows, or on other machines."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of, words
from pearlstreet.api.request_inputs import Org, language_of, org_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, query
from pearlstreet.compute.jobs.whatif import service
from pearlstreet.compute.jobs.whatif.service import Question, WhatIf
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/what-ifs", "scheduling")
Line = Annotated[str, Field(max_length=400)]


class WhatIfIn(In):
    """What is asked; at least one of all but the days."""

    days: int = Field(30, ge=1, le=92, description="How far back the jobs go")
    policies: list[Line] = Field(
        default_factory=list, max_length=4, examples=[["fifo", "shortest,backfill=greedy"]]
    )
    cluster: Line = Field("", description="Such as 4x8xH100-80G; empty: the center's own nodes")
    extra: Line = Field("", description="Nodes added to them")
    less: Line = Field("", description="Nodes taken away from them, by name or as 2x8xH100")
    quotas: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Limits set otherwise; ORG[/PROJECT]:RESOURCE,off takes one away",
        examples=[["acme:cards,guaranteed=64,maximum=128", "acme/vision:cards:H100,off"]],
    )
    queues: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Queues set otherwise, with the names of the policy's settings; NAME,off takes one away",
        examples=[["urgent,rank=-10,order=fifo"]],
    )
    windows: list[Line] = Field(
        default_factory=list,
        max_length=8,
        description="Maintenance and reservations; a time alone counts from the first submission",
        examples=[
            [
                "maintenance,nodes=h100-0001|h100-0002,from=36h,for=8h",
                "reservation,org=acme,model=H100,cards=16,from=2026-01-31T08:00Z,until=2026-02-02T08:00Z",
            ]
        ],
    )


class WhatIfQuestionOut(Out):
    """What was asked."""

    days: int
    policies: list[str]
    cluster: str
    extra: str
    less: str
    quotas: list[str]
    queues: list[str]
    windows: list[str]


class WhatIfOut(Out):
    """A question, and how far it is."""

    id: str
    org_id: str | None
    asked: Time
    question: WhatIfQuestionOut
    state: str
    progress: float
    message: str | None
    ended: Time | None


class WholeWhatIfOut(WhatIfOut):
    """A question with its answer: figures and curves of each case."""

    result: dict[str, Any] | None


class WhatIfs(Out):
    """Questions, newest first."""

    items: list[WhatIfOut]


def what_if_out(found: WhatIf, language: str) -> dict[str, Any]:
    """A question as JSON."""
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
    """Questions of an organisation, or all that one may see."""
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
    """Ask: an organisation's recent jobs, or for operators all, are played again in a process of its own."""
    language = language_of(request)
    question = Question(
        body.days,
        tuple(body.policies),
        body.cluster,
        body.extra,
        body.less,
        tuple(body.quotas),
        tuple(body.queues),
        tuple(body.windows),
    )
    of = org if org is not None or actor.operator_roles else org_of(actor, None)
    return await command(
        request,
        actor,
        lambda s: service.ask_what_if(s, actor, question, of),
        lambda found: what_if_out(found, language),
        status=201,
    )


@router.get("/{what_if}", scope="jobs:read", responses={200: {"model": WholeWhatIfOut}})
async def get_what_if(request: Request, what_if: str, actor: Actor = CurrentActor) -> Response:
    """A question with its answer."""
    store, language = center_of(request).store, language_of(request)
    return await query(
        lambda: service.get_what_if(store, actor, what_if),
        lambda found: what_if_out(found, language) | {"result": found.result},
    )


@router.delete("/{what_if}", scope="jobs:read", responses={200: {"model": WhatIfOut}})
async def stop_what_if(request: Request, what_if: str, actor: Actor = CurrentActor) -> Response:
    """Stop a question that is not answered yet."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda s: service.stop_what_if(s, actor, what_if),
        lambda found: what_if_out(found, language),
    )
