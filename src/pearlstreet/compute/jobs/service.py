"""Commands on jobs: submit and cancel. Each command is one transaction; no engine is called here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_bytes
from pearlstreet.compute.execution.lifecycle import PLAN, note_stop
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import lifecycle
from pearlstreet.compute.jobs.engine_needs import engines_for, need_problems, refuse_never_placed
from pearlstreet.compute.jobs.hub_files import link_job
from pearlstreet.compute.jobs.images import image_problems
from pearlstreet.compute.jobs.isolation import refuse_without_isolation
from pearlstreet.compute.jobs.model import ENDED, JobEvent, JobState, JobView
from pearlstreet.compute.jobs.preparing import want_preparations
from pearlstreet.compute.jobs.requests import queue_job
from pearlstreet.compute.jobs.resource_request import ask_of, most_expensive_hour, refuse_impossible
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.spec_volume import stored_bytes
from pearlstreet.compute.jobs.storage.retention_rules import refuse_longer_wish
from pearlstreet.compute.jobs.tables import jobs, uploads, waits
from pearlstreet.compute.jobs.views import find_job, job_view
from pearlstreet.compute.queueing.engine_choice import common_engines
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.planning import PLAN_SOON
from pearlstreet.compute.queueing.policy.service import queue_for
from pearlstreet.ledger.funds import check_affordable
from pearlstreet.ledger.prices import current_prices, prices
from pearlstreet.storage.quota import refuse_over_quota
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.transitions import record_transition
from pearlstreet.tenancy.model import Actor, Project
from pearlstreet.tenancy.orgs import find_project
from pearlstreet.tenancy.secrets import check_for_job
from pearlstreet.workload.spec.model import Dependency, JobSpec
from pearlstreet.workload.spec.write import to_json

_INSERT = sa.insert(jobs)
_WHOLE_ONLY = ("id", "name", "spec", "ask", "preparations")
"""Columns that only the row of an array has, not those of its elements."""


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A specification with what is derived from it alone, computed outside the transaction."""

    spec: JobSpec
    stored: Row
    ask: ResourceRequest
    stored_bytes: int = 0
    """Size of `stored` in the database in bytes."""


def draft_job(runtime: Runtime, spec: JobSpec) -> JobDraft:
    """Check whether this center can run a specification at all, and derive its request. Raises InvalidInput."""
    refuse_unsupported(runtime, spec)
    ask = replace(ask_of(spec), engines=engines_for(runtime, spec))
    planner_status, request = runtime.planner_status, ask.request()
    seen = planner_status.snapshot()
    if seen is not None and not planner_status.is_known_feasible(request, ask.min_tasks_effective):
        refuse_never_placed(runtime, seen, spec, ask)
        planner_status.remember_feasible(seen, request, ask.min_tasks_effective)
    stored = to_json(spec)
    return JobDraft(spec, stored, ask, stored_bytes(stored))


def refuse_outside_queue(runtime: Runtime, tx: Tx, queue: str, ask: ResourceRequest) -> ResourceRequest:
    """Return the request restricted to the engines of its queue. Raises InvalidInput if these could never run it."""
    engines = runtime.policy.current(tx).engines_of(queue)
    if not engines:
        return ask
    there = replace(ask, engines=common_engines(ask.engines, engines))
    seen, status = runtime.planner_status.snapshot(), runtime.planner_status
    if seen is None or status.is_known_feasible(there.request(), there.min_tasks_effective):
        return there
    try:
        refuse_impossible(seen, there)
    except InvalidInput as error:
        message = text("The engines of the queue {queue} could never run the job", queue=queue)
        raise InvalidInput(message, hint=error.hint, problems=error.problems) from None
    status.remember_feasible(seen, there.request(), there.min_tasks_effective)
    return there


def submit_job(store: Store, actor: Actor, runtime: Runtime, org: str, spec: JobSpec) -> JobView:
    """Queue a job or an array of organisation `org` (slug or id); it is durable when this returns.

    Raises InvalidInput, NotFound (project, upload, dependency, secret), Forbidden, TooMany, Conflict, and PaymentRequired if the
    balance does not cover its first hour.
    """
    draft = draft_job(runtime, spec)
    return store.write(lambda tx: write_job(tx, actor, runtime, org, draft))


@dataclass(frozen=True, slots=True)
class QuotedPrices:
    """The quote from which a job was accepted, and the price version that therefore applies to it."""

    quote_id: str
    price_version_id: str


def write_job(
    tx: Tx, actor: Actor, runtime: Runtime, org: str, draft: JobDraft, quoted: QuotedPrices | None = None
) -> JobView:
    """Queue a drafted job within a transaction. Raises the errors of `submit_job`."""
    spec, ask = draft.spec, draft.ask
    refuse_without_isolation(tx, runtime.settings.minimum_isolation)
    project = find_project(tx, actor, org, spec.project, "jobs:write")
    queue = queue_for(runtime.policy, tx, spec.queue, project.org_id, project.id)
    there = refuse_outside_queue(runtime, tx, queue, ask)
    more, counts = spec.array.count if spec.array else 1, runtime.queue_counts
    counts.check(tx, project.org_id, project.id, more)
    runtime.spec_volume.take(project.org_id, draft.stored_bytes, tx.now_us)
    version = current_prices(tx) if quoted is None else prices(tx, quoted.price_version_id)
    rate = most_expensive_hour(runtime.planner_status.snapshot(), version, there)
    check_affordable(tx, project.org_id, rate)
    refuse_over_quota(tx, runtime.settings, project.org_id, project.id, 0)
    refuse_longer_wish(tx, runtime.settings, project.org_id, project.id, spec.outputs_kept_days)
    check_uploads(tx, actor, project.org_id, spec)
    if secret_names(spec):
        check_for_job(tx, actor, project, secret_names(spec))
    job_id = tx.new_id("job")
    link_job(tx, actor, project, org, job_id, spec)
    wanted = want_preparations(tx, runtime, project.org_id, project.id, spec, ask)
    waiting_on = check_dependencies(tx, actor, project, spec.depends_on)
    waiting_on += [(preparation_id, "ready") for preparation_id in wanted.open_ids]
    row = {
        "id": job_id,
        "org_id": project.org_id,
        "project_id": project.id,
        "owner": actor.label,
        "name": spec.name,
        "spec": draft.stored,
        "ask": ask.to_json(),
        "preparations": dict(wanted.ids),
        "state": JobState.QUEUED.value,
        "queue": queue,
        "priority": spec.priority,
        "submitted_us": tx.now_us,
        "not_before_us": spec.not_before_us or 0,
        "blocked": len(waiting_on),
        "attempts": 0,
        "failures": 0,
        "price_version_id": version.id,
        "hourly_micro": rate.micro,
        "cancel_requested": False,
        "quote_id": None if quoted is None else quoted.quote_id,
    }
    if waiting_on:
        tx.execute(
            sa.insert(waits), [{"job_id": job_id, "on_id": on, "condition": c} for on, c in waiting_on]
        )
    if spec.array is not None:
        _write_array(tx, row, spec, ask)
    else:
        tx.execute(_INSERT, row)
        queue_job(tx, row, ask)
    record_transition(
        tx, job_id, None, JobState.QUEUED.value, "submit", text("Submitted by {actor}", actor=actor.login)
    )
    counts.add(project.org_id, project.id, more)
    tx.hint(PLAN)
    if counts.few(project.org_id):
        tx.hint(PLAN_SOON)
    return job_view(
        row | ({"array_size": spec.array.count, "n_queued": spec.array.count} if spec.array else {})
    )


def _write_array(tx: Tx, row: Row, spec: JobSpec, ask: ResourceRequest) -> None:
    assert spec.array is not None
    count = spec.array.count
    whole = {"array_size": count, "array_max_running": spec.array.max_running, "n_queued": count}
    tx.execute(_INSERT, {**row, **whole})
    shared = {name: value for name, value in row.items() if name not in _WHOLE_ONLY}
    elements = [
        {
            **shared,
            "id": tx.new_id("job"),
            "name": f"{row['name']}[{index}]",
            "array_id": row["id"],
            "array_index": index,
            "array_max_running": spec.array.max_running,
        }
        for index in range(count)
    ]
    tx.execute(_INSERT, elements)
    queue_job(tx, {**row, **whole}, ask, elements)


def refuse_unsupported(runtime: Runtime, spec: JobSpec) -> None:
    """Raise InvalidInput for features that no engine supports or the operator does not allow."""
    problems = []
    capabilities = [engine.capabilities() for engine in runtime.engines.values()]
    if spec.environment and spec.environment.image:
        can_run = any(item.images for item in capabilities)
        problems += image_problems(spec.environment.image, runtime.settings.image_registries, can_run=can_run)
    known = {problem.field for problem in problems}
    problems += [problem for problem in need_problems(runtime, spec) if problem.field not in known]
    if spec.service is not None and spec.service.ports and spec.network != "none":
        message = text("The ports of a service need network: none, so that no other job reaches them")
        problems.append(Problem("service.ports", message, hint=text("Leave out network or ports")))
    if spec.network == "internet" and not runtime.settings.network_allowed:
        message = text("This center does not let jobs reach the network")
        hint = text("Bring data as inputs and packages as the environment")
        problems.append(Problem("network", message, hint=hint))
    log_bytes_max = runtime.settings.log_bytes_max
    if log_bytes_max and spec.limits.log_mib * (1 << 20) > log_bytes_max:
        message = text("This center keeps at most {limit} of a task's log", limit=format_bytes(log_bytes_max))
        hint = text("Ask for less, or write what must be kept to a file in $PEARL_OUTPUTS")
        problems.append(Problem("limits.log_mib", message, hint=hint))
    for name, item in [(f"files[{i}]", f) for i, f in enumerate(spec.files)] + [
        (f"inputs.{key}", value) for key, value in spec.inputs.items()
    ]:
        if item.source is not None:
            message = text("{path} is a path on your machine", path=item.source)
            hint = text("Upload it first (pearl run and the Python client do) and name the upload")
            problems.append(Problem(name, message, hint=hint))
    if problems:
        raise InvalidInput(text("The job asks for what this center does not offer"), problems=problems)


def secret_names(spec: JobSpec) -> list[str]:
    """Return the names of the secrets that a job uses, each once."""
    pull = [spec.environment.pull_secret] if spec.environment and spec.environment.pull_secret else []
    return sorted({*spec.secrets.values(), *pull})


def check_uploads(tx: Tx, actor: Actor, org_id: str, spec: JobSpec) -> None:
    """Raise NotFound for an upload of another organisation, or of another project than the actor's key is tied to."""
    wanted = {item.upload for item in spec.files} | {item.upload for item in spec.inputs.values()}
    wanted.discard(None)
    if not wanted:
        return
    here = sa.select(uploads.c.id).where(uploads.c.org_id == org_id, uploads.c.id.in_(wanted))
    if actor.project_id is not None:
        here = here.where(uploads.c.project_id == actor.project_id)
    found = tx.execute(here).scalars()
    missing = sorted(str(item) for item in wanted - set(found))
    if missing:
        raise NotFound(text("There is no upload {upload}", upload=missing[0]))


def check_dependencies(
    tx: Tx, actor: Actor, project: Project, dependencies: Sequence[Dependency]
) -> list[tuple[str, str]]:
    """Return (job, condition) for each dependency that has not ended. Raises NotFound, Conflict.

    Only earlier jobs can be named, so there is never a cycle.
    """
    open_ones: list[tuple[str, str]] = []
    for item in dependencies:
        row = find_job(tx, actor, item.job)
        if row["org_id"] != project.org_id:
            raise NotFound(text("There is no job {job}", job=item.job))
        state = JobState(row["state"])
        if state not in ENDED:
            open_ones.append((row["id"], item.condition))
        elif item.condition == "succeeded" and state is not JobState.SUCCEEDED:
            raise Conflict(
                text(
                    "Job {job} has {state}; a job that needs its success would never run",
                    job=item.job,
                    state=state,
                ),
                hint=text("Wait for its end only: condition: ended"),
            )
    return open_ones


def cancel_job(store: Store, actor: Actor, job_id: str) -> JobView:
    """Cancel a job, or all elements of an array that have not ended. A job that has ended does not change.

    Raises NotFound, Forbidden.
    """

    def command(tx: Tx) -> JobView:
        row = find_job(tx, actor, job_id, "jobs:cancel")
        reason = text("Cancelled by {actor}", actor=actor.login)
        if row["array_size"] is not None:
            tx.execute(sa.delete(waits).where(waits.c.job_id == row["id"]))
            lifecycle.cancel_queued_elements(tx, row["id"], reason)
        family = (jobs.c.id == row["id"]) | (jobs.c.array_id == row["id"])
        alive = jobs.c.state.not_in([state.value for state in ENDED]) & jobs.c.array_size.is_(None)
        for member in tx.rows(sa.select(jobs).where(family, alive)):
            _cancel_one(tx, member, reason)
        if actor.label != row["owner"]:
            audit.record(tx, actor=actor.label, action="job.cancel", target=row["id"], org_id=row["org_id"])
        return job_view(find_job(tx, actor, job_id))

    return store.write(command)


def _cancel_one(tx: Tx, row: Row, reason: Text) -> None:
    tx.execute(sa.update(jobs).where(jobs.c.id == row["id"]).values(cancel_requested=True))
    if row["state"] == JobState.QUEUED.value:
        tx.execute(sa.delete(waits).where(waits.c.job_id == row["id"]))
        lifecycle.move_job(tx, row, JobEvent.CANCEL, code="cancelled", reason=reason)
        return
    attempt = tx.first(sa.select(attempts).where(attempts.c.id == row["attempt_id"]))
    if attempt is not None:
        why = StopReason.CANCELLED
        if note_stop(tx, attempt, why):
            lifecycle.stop_job(tx, lifecycle.job_row(tx, row["id"]), why, reason)
