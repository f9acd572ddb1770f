"""Routes to list, show and replay the planner's decisions."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Response

from pearlstreet.api.models import Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routing import CurrentActor, SecuredRouter, query
from pearlstreet.services.scheduling import (
    DecisionHeader,
    DecisionsService,
    ReplayedDecision,
    StoredDecision,
)
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/scheduling/decisions", "scheduling")


class DecisionOut(Out):
    """A planning cycle that placed, preempted or resized jobs."""

    id: str
    at: Time
    policy: int
    """Version number of the scheduling policy."""
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str


class WholeDecisionOut(DecisionOut):
    """A decision with its inputs, its configuration and the resulting plan."""

    sealed: bool | None
    """Whether the file is unchanged since the center wrote it; null if it was written without a key."""
    snapshot: dict[str, object]
    config: dict[str, object]
    plan: dict[str, object]


class DifferenceOut(Out):
    """A difference between the recorded plan and the replay; null where one of them has no value."""

    what: str
    job: str
    was: object
    now: object


class ReplayedOut(DecisionOut):
    """Result of replaying a decision."""

    sealed: bool | None
    identical: bool
    differences: list[DifferenceOut]
    more: int
    """Number of further differences that are not listed."""


def decision_out(header: DecisionHeader) -> dict[str, object]:
    """Return a decision as a DecisionOut."""
    shown = {name: value for name, value in asdict(header).items() if name not in ("at_us", "mac")}
    return shown | {"at": time_of(header.at_us)}


@router.get("", scope="decisions:read", at_center=True, responses={200: {"model": Page[DecisionOut]}})
async def list_decisions(
    decisions: DecisionsService, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the recorded decisions, newest first."""
    before = read_cursor(cursor)
    return await query(
        lambda: decisions.list_decisions(actor, before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, decision_out),
    )


@router.get(
    "/{decision}", scope="decisions:read", at_center=True, responses={200: {"model": WholeDecisionOut}}
)
async def get_decision(decision: str, decisions: DecisionsService, actor: Actor = CurrentActor) -> Response:
    """Get the inputs and the result of a decision. Of tenants it contains ids and resource requests."""

    def render(found: StoredDecision) -> dict[str, object]:
        whole = {name: found.whole[name] for name in ("snapshot", "config", "plan")}
        return decision_out(found.header) | {"sealed": found.sealed} | whole

    return await query(lambda: decisions.read_decision(actor, decision), render)


@router.get(
    "/{decision}/replay", scope="decisions:read", at_center=True, responses={200: {"model": ReplayedOut}}
)
async def replay_decision(
    decision: str, decisions: DecisionsService, actor: Actor = CurrentActor
) -> Response:
    """Replay a decision with this version of the program and report the differences."""

    def render(found: ReplayedDecision) -> dict[str, object]:
        return decision_out(found.header) | {
            "sealed": found.sealed,
            "identical": found.identical,
            "differences": [asdict(one) for one in found.differences],
            "more": found.more,
        }

    return await query(lambda: decisions.replay_decision(actor, decision), render)
