"""Views of builds of environments, images and sources: what each is for, why it waits, where it ran and what it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.builds import log_tail
from pearlstreet.compute.jobs.preparing import BUILDING, FAILED, WANTED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.prepared_limit import READY
from pearlstreet.compute.jobs.tables import jobs, preparations, waits
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows

WAITING = "waiting"
STATES: Mapping[str, str] = {WAITING: WANTED, BUILDING: BUILDING, READY: READY, FAILED: FAILED}
"""Stored state by the state that is shown."""
_SHOWN = {stored: shown for shown, stored in STATES.items()}
NAME_LENGTH = 120
NOT_PLANNED = text("The planner has not looked at it yet")


@dataclass(frozen=True, slots=True)
class BuildView:
    """A build of an environment, image or source."""

    id: str
    kind: str
    """`environment`, `image` or `source`."""
    name: str
    """What is built: Python version and packages, name of the image, or address of the source."""
    org_id: str
    project_id: str | None
    """Project whose job requested it last."""
    state: str
    """`waiting`, `building`, `ready` or `failed`."""
    reason: Text | None
    """Why it waits or why it failed, with the end of its log."""
    jobs: Sequence[str]
    """Ids of jobs that wait for it, at most 20."""
    asked_by: str | None
    """Label of the owner of the first job that waits for it; None: no job does any more."""
    engine: str | None
    node: str | None
    started_us: int | None
    ended_us: int | None
    billed: bool
    changed_us: int
    size_bytes: int | None
    log: str | None = None
    """End of its log; only of one build, while its engine keeps it."""

    @property
    def duration_s(self) -> float | None:
        """Run time of a build that has ended, in seconds."""
        ended = self.started_us is not None and self.ended_us is not None
        return (self.ended_us - self.started_us) / 1e6 if ended else None  # type: ignore[operator]


def list_builds(
    store: Store,
    actor: Actor,
    *,
    org: str | None = None,
    state: str | None = None,
    before: str | None = None,
    limit: int = 100,
) -> Sequence[BuildView]:
    """Return the builds that the actor may see, newest first, with ids before `before`. Raises NotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[BuildView]:
        wanted = _query().where(visible_rows(tx, actor, "jobs:read", preparations, org=org))
        if state is not None:
            wanted = wanted.where(preparations.c.state == STATES.get(state, state))
        if before is not None:
            wanted = wanted.where(preparations.c.id < before)
        return _views(tx, tx.rows(wanted.order_by(preparations.c.id.desc()).limit(limit)))

    return store.read(query)


def get_build(store: Store, actor: Actor, runtime: Runtime, build_id: str) -> BuildView:
    """Return one build with the end of its log. Raises NotFound."""
    absent = text("There is no build {build}", build=build_id[:80])

    def query(tx: Tx) -> tuple[BuildView, str | None]:
        row = tx.first(_query().where(preparations.c.id == build_id))
        if row is None:
            raise NotFound(absent)
        actor.require("jobs:read", row["org_id"], row["project_id"], missing=absent)
        return _views(tx, [row])[0], row["attempt_id"] if row["engine"] is not None else None

    view, attempt_id = store.read(query)
    engine = runtime.engines.get(view.engine or "")
    if attempt_id is None or engine is None:
        return view
    return replace(view, log=log_tail(engine, attempt_id) or None)


def _query() -> sa.Select[tuple[object, ...]]:
    parts = preparations.outerjoin(attempts, attempts.c.id == preparations.c.attempt_id)
    parts = parts.outerjoin(waiting, waiting.c.id == preparations.c.id)
    return sa.select(
        preparations,
        attempts.c.engine,
        attempts.c.placement,
        attempts.c.started_us,
        attempts.c.ended_us,
        attempts.c.hold_id,
        waiting.c.billed,
        waiting.c.reason,
    ).select_from(parts)


def _views(tx: Tx, rows: Sequence[Row]) -> list[BuildView]:
    users = _users(tx, [row["id"] for row in rows if row["state"] in (WANTED, BUILDING)])
    return [_view(row, users.get(row["id"], ())) for row in rows]


def _users(tx: Tx, ids: Sequence[str]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return (id, owner) of the jobs that wait for each build, oldest first."""
    if not ids:
        return {}
    query = sa.select(waits.c.on_id, jobs.c.id, jobs.c.owner).join(jobs, jobs.c.id == waits.c.job_id)
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.rows(query.where(waits.c.on_id.in_(ids)).order_by(jobs.c.id)):
        found.setdefault(row["on_id"], []).append((row["id"], row["owner"]))
    return found


def _view(row: Row, users: Sequence[tuple[str, str]]) -> BuildView:
    state = _SHOWN[row["state"]]
    told = row["reason"] if state == WAITING else row["message"]
    reason = from_json(told) if told else None
    tasks = (row["placement"] or {}).get("tasks", ())
    return BuildView(
        id=row["id"],
        kind=row["kind"],
        name=_name(row["kind"], row["spec"]),
        org_id=row["org_id"],
        project_id=row["project_id"],
        state=state,
        reason=NOT_PLANNED if reason is None and state == WAITING else reason,
        jobs=[job for job, _ in users[:20]],
        asked_by=users[0][1] if users else None,
        engine=row["engine"],
        node=tasks[0]["node"] if tasks else None,
        started_us=row["started_us"],
        ended_us=row["ended_us"],
        billed=row["hold_id"] is not None or bool(row["billed"]),
        changed_us=row["at_us"],
        size_bytes=row["size_bytes"],
    )


def _name(kind: str, spec: Row) -> str:
    """Return what a build makes, in one line."""
    if kind == "image":
        name = str(spec.get("name", ""))
    elif kind == "source":
        name = f"{spec.get('url', '')} {spec.get('ref', '')}".strip()
    else:
        python = f"Python {spec['python']}: " if spec.get("python") else ""
        name = python + ", ".join(str(one) for one in spec.get("packages", ()))
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
