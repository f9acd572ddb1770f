"""Routes of builds: environments, images and sources that jobs wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from pearlstreet.api.models import Out, Time, time_of, words
from pearlstreet.api.owners import with_owner, with_owners
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import Org, language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, query
from pearlstreet.services.builds import BuildsService, BuildView
from pearlstreet.tenancy.model import Actor, login_of

router = SecuredRouter("/builds", "jobs")
BuildState = Literal["waiting", "building", "ready", "failed"]


class BuildOut(Out):
    """A build of an environment, image or source, which jobs wait for."""

    id: str
    kind: Literal["environment", "image", "source"]
    name: str
    """What is built: Python version and packages, name of the image, or address of the source."""
    owner: str
    """Organisation or project whose job requested it last."""
    owner_id: str
    state: BuildState
    reason: str | None
    """Why it waits, or why it failed with the end of its log."""
    jobs: list[str]
    """Jobs that wait for it, at most 20."""
    asked_by: str | None
    """Owner of the first job that waits for it."""
    engine: str | None
    node: str | None
    started: Time | None
    ended: Time | None
    duration_s: float | None
    billed: bool
    changed: Time
    size_bytes: int | None
    log: str | None
    """End of its log; only of one build, while its engine keeps it."""


def build_out(view: BuildView, language: str) -> dict[str, object]:
    """Return a build as a BuildOut without its owner."""
    return {
        "id": view.id,
        "kind": view.kind,
        "name": view.name,
        "state": view.state,
        "reason": words(view.reason, language),
        "jobs": list(view.jobs),
        "asked_by": None if view.asked_by is None else login_of(view.asked_by),
        "engine": view.engine,
        "node": view.node,
        "started": time_of(view.started_us),
        "ended": time_of(view.ended_us),
        "duration_s": view.duration_s,
        "billed": view.billed,
        "changed": time_of(view.changed_us),
        "size_bytes": view.size_bytes,
        "log": view.log,
    }


@router.get("", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Page[BuildOut]}})
async def list_builds(
    request: Request,
    builds: BuildsService,
    actor: Actor = CurrentActor,
    org: Org = None,
    state: Annotated[BuildState | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List builds of environments, images and sources, newest first."""
    language, before, store = language_of(request), read_cursor(cursor), center_of(request).store

    def shown(rows: list[BuildView]) -> Mapping[str, object]:
        found = page(rows, limit, lambda row: row.id, lambda row: row)
        return {**found, "items": with_owners(store, rows[:limit], lambda row: build_out(row, language))}

    return await query(
        lambda: shown(list(builds.list_builds(actor, org=org, state=state, before=before, limit=limit + 1))),
        lambda found: found,
    )


@router.get("/{build}", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": BuildOut}})
async def get_build(
    request: Request, build: str, builds: BuildsService, actor: Actor = CurrentActor
) -> Response:
    """Get a build with the end of its log."""
    language, store = language_of(request), center_of(request).store
    return await query(
        lambda: with_owner(store, builds.get_build(actor, build), lambda row: build_out(row, language)),
        lambda found: found,
    )
