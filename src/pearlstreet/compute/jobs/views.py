"""Queries on jobs: find, list, timeline, attempts, artefacts, why. Each checks what the actor may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import Text, from_json, plural, text
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import isolation
from pearlstreet.compute.jobs.deadlines import AT_RISK, is_at_risk, words
from pearlstreet.compute.jobs.job_warnings import notices
from pearlstreet.compute.jobs.model import ENDED, JobState, JobView
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import artefacts, jobs, preparations, waits
from pearlstreet.compute.jobs.withholding import refuse_withheld, withheld_by, withheld_text
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.queueing.blockers import UNBLOCK, Blocked, find_blocked
from pearlstreet.compute.queueing.engine_choice import within_queue
from pearlstreet.compute.queueing.model import PlanningWindow, ResourceRequest
from pearlstreet.compute.queueing.plan_applier import ENGINE_QUEUE
from pearlstreet.compute.queueing.planning_window import count_ahead
from pearlstreet.compute.queueing.preemption_limits import Protection, explain_protection
from pearlstreet.compute.queueing.reason_names import ReasonNames
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.compute.scheduling.explain import explain
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Code
from pearlstreet.compute.scheduling.reasons import array_limit
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.hub.uses import revisions_of_job
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.tables import loop_failures, state_events
from pearlstreet.tenancy.model import Actor, Standing
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.tables import orgs

_COUNTS = ("queued", "active", "succeeded", "failed", "cancelled")


def find_job(tx: Tx, actor: Actor, job_id: str, scope: str = "jobs:read") -> RowMapping:
    """Return the row of a job for which the actor has `scope`. Raises NotFound, Forbidden."""
    absent = text("There is no job {job}", job=job_id[:80])
    row = tx.first(sa.select(jobs).where(jobs.c.id == job_id))
    if row is None:
        raise NotFound(absent)
    actor.require(scope, row["org_id"], row["project_id"], missing=absent)
    return row


def get_job(store: Store, actor: Actor, job_id: str) -> JobView:
    """Return one job with its notices. Raises NotFound."""

    def query(tx: Tx) -> JobView:
        row = find_job(tx, actor, job_id)
        engine = tx.scalar(sa.select(attempts.c.engine).where(attempts.c.id == row["attempt_id"]))
        name = withheld_by(tx, row)
        why_withheld = None if name is None else withheld_text(name)
        return replace(
            job_view(row),
            notices=notices(tx, row),
            engine=engine,
            withheld=why_withheld,
            revisions=revisions_of_job(tx, row["array_id"] or row["id"]),
        )

    return store.read(query)


_ENGINE = (
    sa.select(attempts.c.engine).where(attempts.c.id == jobs.c.attempt_id).scalar_subquery().label("engine")
)
"""Column: engine of a job's newest attempt."""
_STATE_SENTENCES: Mapping[JobState, str] = {
    JobState.QUEUED: "It is queued",
    JobState.PLACED: "It has nodes and is about to start",
    JobState.STARTING: "It is starting",
    JobState.RUNNING: "It is running",
    JobState.STOPPING: "It is stopping",
    JobState.FINISHING: "It has ended, and its results are being kept",
    JobState.SUCCEEDED: "It has succeeded",
    JobState.FAILED: "It has failed",
    JobState.CANCELLED: "It was cancelled",
}
"""Explanation of a job about which nothing else is known."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions of a list of jobs. `org`: slug or id; None: all that the actor may see."""

    org: str | None = None
    project_id: str | None = None
    states: tuple[JobState, ...] = ()
    name: str | None = None
    array_id: str | None = None


def list_jobs(
    store: Store, actor: Actor, wanted: JobFilter, *, before: str | None = None, limit: int = 100
) -> Sequence[JobView]:
    """Return jobs with ids before `before`, newest first. An array is one row; `array_id` selects its elements."""

    def query(tx: Tx) -> Sequence[JobView]:
        statement = sa.select(*(column for column in jobs.c if column.name not in ("spec",)), _ENGINE)
        for condition in _conditions(tx, actor, wanted):
            statement = statement.where(condition)
        if before is not None:
            statement = statement.where(jobs.c.id < before)
        return [job_view(row) for row in tx.rows(statement.order_by(jobs.c.id.desc()).limit(limit))]

    return store.read(query)


def _conditions(tx: Tx, actor: Actor, wanted: JobFilter) -> list[sa.ColumnElement[bool]]:
    found = [visible_rows(tx, actor, "jobs:read", jobs, org=wanted.org)]
    if wanted.array_id is not None:
        found.append(jobs.c.array_id == find_job(tx, actor, wanted.array_id)["id"])
    else:
        found.append(jobs.c.array_id.is_(None))
    if wanted.project_id is not None:
        found.append(jobs.c.project_id == wanted.project_id)
    if wanted.states:
        found.append(jobs.c.state.in_([state.value for state in wanted.states]))
    if wanted.name:
        found.append(jobs.c.name.contains(wanted.name, autoescape=True))
    return found


def job_view(row: Row) -> JobView:
    """Return a job's row as interfaces show it."""
    size = row.get("array_size")
    return JobView(
        id=row["id"],
        name=row["name"],
        org_id=row["org_id"],
        project_id=row["project_id"],
        owner=row["owner"],
        state=JobState(row["state"]),
        reason_code=row.get("reason_code"),
        reason=from_json(row["reason"]) if row.get("reason") else None,
        queue=row.get("queue") or "default",
        quote_id=row.get("quote_id"),
        engine=row.get("engine"),
        priority=row["priority"],
        submitted_us=row["submitted_us"],
        started_us=row.get("started_us"),
        ended_us=row.get("ended_us"),
        exit_code=row.get("exit_code"),
        attempts=row["attempts"],
        attempt_id=row.get("attempt_id"),
        array_id=row.get("array_id"),
        array_index=row.get("array_index"),
        array_size=size,
        counts={name: row.get(f"n_{name}", 0) for name in _COUNTS} if size is not None else None,
        hourly_micro=row["hourly_micro"],
        ask=ResourceRequest.from_json(row["ask"]) if row.get("ask") else None,
        spec=row.get("spec"),
    )


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event in a job's timeline, usually a change of state."""

    at_us: int
    from_state: str | None
    to_state: str
    event: str
    reason: Text | None


def timeline(store: Store, actor: Actor, job_id: str) -> Sequence[TimelineRow]:
    """Return the events in a job's timeline with their reasons, oldest first. Raises NotFound."""

    def query(tx: Tx) -> Sequence[TimelineRow]:
        row = find_job(tx, actor, job_id)
        found = tx.rows(
            sa.select(state_events).where(state_events.c.entity_id == row["id"]).order_by(state_events.c.seq)
        )
        return [
            TimelineRow(
                at_us=line["at_us"],
                from_state=line["from_state"],
                to_state=line["to_state"],
                event=line["event"],
                reason=from_json(line["reason"]) if line["reason"] else None,
            )
            for line in found
        ]

    return store.read(query)


def attempts_of(store: Store, actor: Actor, job_id: str) -> Sequence[Row]:
    """Return all attempts of a job, oldest first. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Row]:
        row = find_job(tx, actor, job_id)
        return tx.rows(
            sa.select(attempts).where(attempts.c.owner_id == row["id"]).order_by(attempts.c.number)
        )

    return store.read(query)


def latest_attempt(tx: Tx, actor: Actor, job_id: str, attempt_id: str | None = None) -> Row | None:
    """Return a job's attempt with the given id, or its newest one; None before the first. Raises NotFound."""
    row = find_job(tx, actor, job_id)
    query = (
        sa.select(attempts)
        .where(attempts.c.owner_id == row["id"])
        .order_by(attempts.c.number.desc())
        .limit(1)
    )
    if attempt_id is not None:
        query = query.where(attempts.c.id == attempt_id)
    found = tx.first(query)
    if found is None and attempt_id is not None:
        raise NotFound(text("Job {job} has no attempt {attempt}", job=job_id, attempt=attempt_id[:80]))
    return found


def check_rank(rank: int, tasks: int) -> None:
    """Raise NotFound if an attempt of `tasks` tasks has none of this rank."""
    if rank >= tasks:
        raise NotFound(
            plural(
                "The job has {count} task; there is no task {rank}",
                "The job has {count} tasks; there is no task {rank}",
                count=tasks,
                rank=rank,
            )
        )


def artefacts_of(store: Store, actor: Actor, job_id: str) -> Sequence[Row]:
    """Return the artefacts of a job, sorted by path. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Row]:
        row = find_job(tx, actor, job_id)
        refuse_withheld(tx, row)
        return tx.rows(sa.select(artefacts).where(artefacts.c.job_id == row["id"]).order_by(artefacts.c.path))

    return store.read(query)


def find_artefact(store: Store, actor: Actor, artefact_id: str) -> Row:
    """Return one artefact. Raises NotFound."""
    absent = text("There is no artefact {artefact}", artefact=artefact_id[:80])

    def query(tx: Tx) -> Row:
        of_job = artefacts.join(jobs, jobs.c.id == artefacts.c.job_id)
        wanted = sa.select(artefacts, jobs.c.project_id, jobs.c.array_id).select_from(of_job)
        row = tx.first(wanted.where(artefacts.c.id == artefact_id))
        if row is None:
            raise NotFound(absent)
        actor.require("jobs:read", row["org_id"], row["project_id"], missing=absent)
        refuse_withheld(tx, {"id": row["job_id"], "array_id": row["array_id"]})
        return row

    return store.read(query)


@dataclass(frozen=True, slots=True)
class PlacementView:
    """The placement of a running job and the reasons for it."""

    why: Text | None
    engine: str
    sharing: str
    """How its accelerators are kept apart from other jobs (`hardware/sharing.py`); empty: not recorded."""
    model: str
    nodes: Sequence[str]
    tasks: int
    position: int | None
    """Position of the job in the queue when it was placed; None: not recorded."""
    backfilled: bool
    """Whether it was placed before a job ahead of it that could not start."""
    borrowing: bool
    """Whether it uses idle capacity of others beyond its quota."""
    chosen: Mapping[str, object] | None = None
    """Alternatives considered for its node, from `Chosen.to_json`; None if several nodes were chosen together."""


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """Explanation of a job's state: a sentence, and for programs a reason code, position and details."""

    sentence: Text
    code: str
    position: int | None = None
    waiting: int | None = None
    unblock: Text | None = None
    details: tuple[Row, ...] = ()
    start: tuple[int, int, int] | None = None
    """Earliest, likely and latest start (µs since 1970); None if the planner cannot tell."""
    rough: bool = False
    """Whether the start is predicted from run times, not time limits; nine in ten such jobs have ended by the latest time."""
    here: PlacementView | None = None
    """Placement of a running job; None while it waits."""


def why(store: Store, actor: Actor, runtime: Runtime, job_id: str) -> JobExplanation:
    """Explain why a job waits, or why it runs where it does. Raises NotFound."""

    def query(tx: Tx) -> JobExplanation:
        row = find_job(tx, actor, job_id)
        found = _why(tx, runtime, row)
        lost = None if JobState(row["state"]) in ENDED else _work_lost(tx, row)
        return found if lost is None else replace(found, details=(*found.details, lost))

    return store.read(query)


def _work_lost(tx: Tx, row: Row) -> Row | None:
    """Return a detail with the work that stops of the center have cost a job so far; None if none."""
    if not row["attempts"]:
        return None
    lost_us = tx.scalar(sa.select(sa.func.sum(attempts.c.lost_us)).where(attempts.c.owner_id == row["id"]))
    if not lost_us:
        return None
    message = text(
        "Stops by the center and lost machines have cost {lost} s of its work so far; they are not billed",
        lost=round(int(lost_us) / US_PER_S),
    )
    return {"code": "work_lost", "message": message.to_json()}


def _why(tx: Tx, runtime: Runtime, row: Row) -> JobExplanation:
    state = JobState(row["state"])
    kept = from_json(row["reason"]) if row["reason"] else None
    if state in ENDED:
        return JobExplanation(kept or text(_STATE_SENTENCES[state]), row["reason_code"] or state.value)
    trouble = _trouble(tx, row)
    if trouble is not None:
        return trouble
    if state is not JobState.QUEUED:
        attempt = tx.first(sa.select(attempts).where(attempts.c.id == row["attempt_id"]))
        here = from_json(attempt["why_here"]) if attempt and attempt["why_here"] else None
        return JobExplanation(
            kept or here or text(_STATE_SENTENCES[state]),
            row["reason_code"] or state.value,
            here=_here(attempt, here) if attempt else None,
        )
    minimum = runtime.settings.minimum_isolation
    below, all_below = isolation.nodes_below(tx, minimum)
    if all_below:
        return JobExplanation(
            isolation.no_node_left(below, minimum), isolation.CODE, unblock=isolation.RESTORE
        )
    if row["blocked"]:
        return _why_blocked(tx, row)
    if row["not_before_us"] > tx.now_us:
        at_us = row["not_before_us"]
        if row["reason_code"] == StopReason.WITHDRAWN.value:
            sentence = text(
                "Its last attempts did not start in time on the engine that had to give it machines, so it is planned again at {time}",
                time=to_rfc3339(at_us)[:19] + "Z",
            )
            return JobExplanation(sentence, StopReason.WITHDRAWN.value, start=(at_us, at_us, at_us))
        sentence = text("It is not to start before {time}, as its not_before says", time=to_rfc3339(at_us))
        return JobExplanation(sentence, "not_before", start=(at_us, at_us, at_us))
    if tx.scalar(sa.select(orgs.c.state).where(orgs.c.id == row["org_id"])) != Standing.ACTIVE.value:
        return JobExplanation(text("It waits because its organisation is suspended"), "suspended")
    found = _why_outside(tx, runtime.planner_status.window(), row) or _why_queued(tx, runtime, row, kept)
    if not below or found.code not in (Code.CAPACITY.value, Code.IMPOSSIBLE.value):
        return found
    sentence = text(
        "{why} {isolation}.", why=found.sentence, isolation=isolation.some_left_out(below, minimum)
    )
    return replace(found, sentence=sentence)


def _here(attempt: Row, why: Text | None) -> PlacementView:
    placement = attempt["placement"]
    return PlacementView(
        why=why,
        engine=attempt["engine"],
        sharing=attempt["usage"].get("sharing", ""),
        model=placement["model"],
        nodes=list(dict.fromkeys(task["node"] for task in placement["tasks"])),
        tasks=len(placement["tasks"]),
        position=placement.get("position"),
        backfilled=bool(placement.get("backfilled")),
        borrowing=bool(placement.get("borrowing")),
        chosen=placement.get("chosen"),
    )


def _trouble(tx: Tx, row: Row) -> JobExplanation | None:
    """Return the explanation that the center failed to process the job; None if it did not.

    The error itself is shown to operators only.
    """
    mine = [row["id"], row["attempt_id"], *(row["preparations"] or {}).values()]
    query = sa.select(loop_failures).where(loop_failures.c.row_id.in_([one for one in mine if one]))
    found = tx.first(query.order_by(loop_failures.c.quarantined.desc()).limit(1))
    if found is None:
        return None
    if found["quarantined"]:
        return JobExplanation(
            text("The center could not go on with it and gave up; its operators must look"), "incident"
        )
    sentence = plural(
        "The center fails to go on with it and tries again; it failed once",
        "The center fails to go on with it and tries again; it failed {count} times",
        count=found["failures"],
    )
    return JobExplanation(sentence, "incident")


_PREPARING: Mapping[str, Text] = {
    "environment": text("its environment is being built"),
    "image": text("its image is being fetched"),
    "source": text("its source is being fetched"),
}
"""Part of a sentence for each kind of preparation."""


def _why_blocked(tx: Tx, row: Row) -> JobExplanation:
    family = row["array_id"] or row["id"]
    on = [item["on_id"] for item in tx.rows(sa.select(waits).where(waits.c.job_id == family))]
    columns = (preparations.c.kind, waiting.c.reason)
    with_reason = preparations.outerjoin(waiting, waiting.c.id == preparations.c.id)
    query = sa.select(*columns).select_from(with_reason).where(preparations.c.id.in_(on))
    building = tx.first(query.order_by(preparations.c.id).limit(1))
    if building is not None:
        what = _PREPARING[building["kind"]]
        if building["reason"]:
            sentence = text(
                "It waits because {what} once that can start: {why}",
                what=what,
                why=from_json(building["reason"]),
            )
            return JobExplanation(sentence, "preparation")
        return JobExplanation(text("It waits because {what}", what=what), "preparation")
    return JobExplanation(text("It waits for {jobs} to end", jobs=", ".join(on)), "dependency")


def _out_of_service(tx: Tx, runtime: Runtime, snapshot: Snapshot, row: Row) -> Blocked | None:
    """Return the explanation if drained or unhealthy nodes keep the job waiting; else None."""
    ask, request = _ask(tx, row), _request(tx, runtime, row)
    return find_blocked(
        snapshot, {node.report.name: node for node in all_nodes(tx)}, request, ask.min_tasks_effective
    )


def _protection(tx: Tx, runtime: Runtime, snapshot: Snapshot, row: Row) -> Protection | None:
    """Return which rules of its queue's preemption policy protect the jobs that run where it could; None if none do."""
    planner = runtime.policy.current(tx).planner.of_queue(row["queue"])
    return explain_protection(snapshot, planner, row["id"], _request(tx, runtime, row))


def _request(tx: Tx, runtime: Runtime, row: Row) -> Request:
    """Return the planner's request for one task of a job, restricted to the engines of its queue."""
    return within_queue(_ask(tx, row).request(), runtime.policy.current(tx).engines_of(row["queue"]))


def _ask(tx: Tx, row: Row) -> ResourceRequest:
    """Return the resource request of a job; elements share that of their array."""
    return ResourceRequest.from_json(
        row["ask"] or tx.scalar(sa.select(jobs.c.ask).where(jobs.c.id == row["array_id"]))
    )


def _why_outside(tx: Tx, window: PlanningWindow, row: Row) -> JobExplanation | None:
    """Return why the planner did not load the job; None if it did.

    Either its array runs as many elements as it may, or its project has more jobs than places.
    """
    if not window.leaves_out(row):
        return None
    if row["array_max_running"] is not None:
        array = tx.first(sa.select(jobs).where(jobs.c.id == row["array_id"]))
        reason = array_limit(row["array_max_running"])
        if array is not None and array["n_active"] >= row["array_max_running"]:
            return JobExplanation(
                text("{why}. {unblock}.", why=reason.message, unblock=reason.unblock),
                reason.code.value,
                unblock=reason.unblock,
                details=tuple(reason.to_json().get("details", ())),
            )
    places = window.limits.get((row["org_id"], row["project_id"]))
    if places is None:
        return _why_behind_elements(tx, row) if row["array_max_running"] is not None else None
    unblock = text("It is looked at once jobs ahead of it have started or ended")
    sentence = text(
        "{ahead} jobs of its project are ahead of it, and the planner looks at the first {places} of them in each cycle. "
        "{unblock}.",
        ahead=count_ahead(tx, row),
        places=places,
        unblock=unblock,
    )
    return JobExplanation(sentence, "not_considered", waiting=window.waiting, unblock=unblock)


def _why_behind_elements(tx: Tx, row: Row) -> JobExplanation | None:
    """Return why an element waits although its array may run more: earlier elements wait too."""
    before = (jobs.c.array_id == row["array_id"]) & (jobs.c.array_index < row["array_index"])
    queued = before & (jobs.c.state == JobState.QUEUED.value)
    first = tx.scalar(sa.select(jobs.c.id).where(queued).order_by(jobs.c.array_index).limit(1))
    if first is None:
        return None
    sentence = plural(
        "At most {count} element of its array runs at once, and elements before it wait, the first being {job}",
        "At most {count} elements of its array run at once, and elements before it wait, the first being {job}",
        count=row["array_max_running"],
        job=first,
    )
    return JobExplanation(
        sentence, Code.ARRAY_LIMIT.value, unblock=text("It is planned once they have started")
    )


def _why_queued(tx: Tx, runtime: Runtime, row: Row, kept: Text | None) -> JobExplanation:
    wait = runtime.planner_status.wait_of(row["id"])
    snapshot = runtime.planner_status.snapshot()
    if row["reason_code"] == "balance" and kept is not None:
        return JobExplanation(kept, "balance", unblock=text("Top up, or set a shorter time_limit"))
    if row["reason_code"] == ENGINE_QUEUE and kept is not None and wait is None:
        unblock = text("It is submitted once an attempt that waits there has started")
        return JobExplanation(kept, ENGINE_QUEUE, unblock=unblock)
    if wait is None or snapshot is None:
        return JobExplanation(
            kept or text("It was just submitted; the planner looks at it next"), row["reason_code"] or "new"
        )
    waiting = max(runtime.planner_status.window().waiting, snapshot.waiting.count)
    reason = ReasonNames(tx).name_owner(wait.reason)
    blocked = _out_of_service(tx, runtime, snapshot, row) if reason.code is Code.CAPACITY else None
    if blocked is not None and blocked.is_all:
        reason = replace(
            reason, message=blocked.message, unblock=UNBLOCK, details=(blocked.detail,), start=None
        )
    sentence = explain(reason, wait.position, waiting, tx.now_us)
    protection = (
        _protection(tx, runtime, snapshot, row) if reason.code is Code.CAPACITY and not blocked else None
    )
    if protection is not None:
        reason = replace(reason, details=(*reason.details, protection.detail))
        if protection.is_unexpected:
            sentence = text("{why} {more}.", why=sentence, more=protection.detail.message)
    if blocked is not None and not blocked.is_all:
        reason = replace(reason, details=(*reason.details, blocked.detail))
        sentence = text("{why} {more}.", why=sentence, more=blocked.message)
    deadline_us = (row["ask"] or {}).get("deadline_us")
    if deadline_us is not None and is_at_risk(runtime, row, deadline_us):
        sentence = text("{why} {deadline}.", why=sentence, deadline=words(AT_RISK, deadline_us))
    return JobExplanation(
        sentence,
        reason.code.value,
        position=wait.position,
        waiting=waiting,
        unblock=reason.unblock,
        details=tuple(reason.to_json().get("details", ())),
        start=(reason.start.earliest_us, reason.start.likely_us, reason.start.latest_us)
        if reason.start
        else None,
        rough=reason.start is not None and reason.start.guess,
    )
