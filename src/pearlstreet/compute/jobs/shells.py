"""Commands that people run inside the tasks of running jobs: who may, and in which task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.ids import new_id
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import text
from pearlstreet.compute.engines.shells import ShellOrder
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.shells import OpenShell
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.views import check_rank, find_job, latest_attempt
from pearlstreet.compute.jobs.withholding import refuse_withheld
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

SCOPE = "jobs:exec"
DEFAULT = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")
"""Command of a shell whose user names none."""


@dataclass(frozen=True, slots=True)
class _Place:
    attempt_id: str
    engine: str


def open_shell(
    store: Store, actor: Actor, runtime: Runtime, job_id: str, rank: int, order: ShellOrder
) -> OpenShell:
    """Run a command inside a task of a running job, and write that to the audit log.

    Raises NotFound, Forbidden, Conflict if the job does not run or its engine has no shells, TooMany.
    """
    user = actor.user_id or actor.label
    shell = OpenShell(new_id("shell", store.clock, store.rng), job_id, rank, user, order, store.clock)
    place = store.read(lambda tx: _place(tx, actor, job_id, rank))
    engine = runtime.engines.get(place.engine)
    if engine is None or not engine.capabilities().shells:
        raise Conflict(
            text("The engine {engine} runs no commands inside tasks", engine=place.engine),
            hint=text("The log tells what the task writes: pearl logs {job} --follow", job=job_id),
        )
    runtime.shells.add(shell)
    try:
        store.write(lambda tx: _record(tx, actor, shell))
        answer = engine.open_shell(place.attempt_id, rank, shell.id, order)
        if not isinstance(answer, Done):
            # Not a 503: the request counts as made, and a program that repeats it would be told of a shell that never was.
            raise Conflict(answer.reason)
    except BaseException:
        runtime.shells.drop(shell)
        raise
    shell.start(answer.value, runtime.stopping)
    return shell


def _place(tx: Tx, actor: Actor, job_id: str, rank: int) -> _Place:
    row = find_job(tx, actor, job_id, SCOPE)
    refuse_withheld(tx, row)
    if row["array_size"] is not None:
        raise Conflict(
            text("{job} is an array: name one of its elements", job=row["name"]),
            hint=text("pearl jobs --array {job} lists them", job=job_id),
        )
    attempt = latest_attempt(tx, actor, job_id)
    states = row["state"], attempt["state"] if attempt is not None else None
    if attempt is None or states != (JobState.RUNNING.value, AttemptState.RUNNING.value):
        raise Conflict(
            text("{job} does not run", job=row["name"]),
            hint=text("Only a running task has shells; pearl job {job} shows its state", job=job_id),
        )
    check_rank(rank, len(attempt["placement"]["tasks"]))
    return _Place(attempt["id"], attempt["engine"])


def _record(tx: Tx, actor: Actor, shell: OpenShell) -> OpenShell:
    row = find_job(tx, actor, shell.job_id, SCOPE)
    details = {"command": list(_shown(shell.order.command)), "rank": shell.rank, "shell": shell.id}
    audit.record(
        tx, actor=actor.label, action="job.exec", target=shell.job_id, org_id=row["org_id"], details=details
    )
    return shell


def _shown(command: Sequence[str]) -> Sequence[str]:
    """Return a command for the audit log, where a long one is cut."""
    return [part[:500] for part in command[:20]]


def find_shell(store: Store, actor: Actor, runtime: Runtime, job_id: str, shell_id: str) -> OpenShell:
    """Return an open shell to the person who opened it, while the right to do so lasts. Raises NotFound, Forbidden."""
    store.read(lambda tx: find_job(tx, actor, job_id, SCOPE))
    found = runtime.shells.get(shell_id) or runtime.connections.get(shell_id)
    if found is None or found.job_id != job_id or found.user != (actor.user_id or actor.label):
        raise NotFound(
            text("There is no open shell {shell} of this job", shell=shell_id[:80]),
            hint=text("A shell ends with its command, its job or the server; open another"),
        )
    return found
