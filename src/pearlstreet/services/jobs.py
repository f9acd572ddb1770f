"""The service of jobs: submit, list, explain, follow and cancel them, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.engines.protocol import LogChunk, MetricSample
from pearlstreet.compute.jobs import (
    changes,
    checkpoints,
    costs,
    exporting,
    follow,
    history,
    idle_report,
    quoting,
    service,
    views,
)
from pearlstreet.compute.jobs.costs import JobCost
from pearlstreet.compute.jobs.exporting import PastJob, past_job_json
from pearlstreet.compute.jobs.follow import LogPosition
from pearlstreet.compute.jobs.idle_report import IdleProject
from pearlstreet.compute.jobs.model import ENDED, JobState, JobView
from pearlstreet.compute.jobs.nodes import find_jobs
from pearlstreet.compute.jobs.quoting import JobQuote
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.service import JobDraft
from pearlstreet.compute.jobs.views import JobExplanation, JobFilter, PlacementView, TimelineRow
from pearlstreet.compute.queueing.planner_rows import NEXT_TASKS
from pearlstreet.ledger.spans import Use
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor
from pearlstreet.workload.spec.model import JobSpec

__all__ = [
    "ENDED", "NEXT_TASKS", "IdleProject", "JobCost", "JobDraft", "JobExplanation", "JobFilter", "JobQuote", "JobState", "JobView",
    "JobsService", "LogPosition", "PastJob", "PlacementView", "past_job_json",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobsService(StoreService):
    """Commands and queries about jobs, arrays and their attempts."""

    runtime: Runtime

    def draft_job(self, spec: JobSpec) -> JobDraft:
        """Check whether this center can run a specification at all, and derive its request. Raises InvalidInput."""
        return service.draft_job(self.runtime, spec)

    def write_job(self, tx: Tx, actor: Actor, org: str, draft: JobDraft) -> JobView:
        """Queue a drafted job within a transaction. Raises the errors of `submit_job`."""
        return service.write_job(tx, actor, self.runtime, org, draft)

    def submit_job(self, actor: Actor, org: str, spec: JobSpec) -> JobView:
        """Queue a job or an array of organisation `org` (slug or id); it is durable when this returns."""
        return service.submit_job(self.store, actor, self.runtime, org, spec)

    def idle_by_project(
        self, actor: Actor, *, org: str | None = None, days: float = 30.0
    ) -> Sequence[IdleProject]:
        """Return idle accelerators by project, the most idle first. Raises NotFound for an unknown organisation."""
        return idle_report.idle_by_project(self.store, actor, org=org, days=days)

    def quote_job(self, actor: Actor, org: str, spec: JobSpec) -> JobQuote:
        """Check a job as `submit_job` does and return its price."""
        return quoting.quote_job(self.store, actor, self.runtime, org, spec)

    def cancel_job(self, actor: Actor, job_id: str) -> JobView:
        """Cancel a job, or all elements of an array that have not ended. A job that has ended does not change."""
        return service.cancel_job(self.store, actor, job_id)

    def get_job(self, actor: Actor, job_id: str) -> JobView:
        """Return one job with its notices. Raises NotFound."""
        return views.get_job(self.store, actor, job_id)

    def list_jobs(
        self, actor: Actor, wanted: JobFilter, *, before: str | None = None, limit: int = 100
    ) -> Sequence[JobView]:
        """Return jobs with ids before `before`, newest first. An array is one row; `array_id` selects its elements."""
        return views.list_jobs(self.store, actor, wanted, before=before, limit=limit)

    def find_jobs(self, actor: Actor, ids: Sequence[str]) -> Sequence[JobView]:
        """Return those of the jobs that the actor may see, newest first."""
        return find_jobs(self.store, actor, ids)

    def list_past_jobs(
        self,
        actor: Actor,
        *,
        org: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        names: bool = False,
        after: str | None = None,
        limit: int = 500,
    ) -> Sequence[PastJob]:
        """Return jobs that the actor may see, submitted within the span, oldest first. Raises NotFound, Forbidden."""
        return exporting.history_of_jobs(
            self.store,
            actor,
            org=org,
            since_us=since_us,
            until_us=until_us,
            names=names,
            after=after,
            limit=limit,
        )

    def explain_job(self, actor: Actor, job_id: str) -> JobExplanation:
        """Explain why a job waits, or why it runs where it does. Raises NotFound."""
        return views.why(self.store, actor, self.runtime, job_id)

    def timeline(self, actor: Actor, job_id: str) -> Sequence[TimelineRow]:
        """Return the events in a job's timeline with their reasons, oldest first. Raises NotFound."""
        return views.timeline(self.store, actor, job_id)

    def list_attempts(self, actor: Actor, job_id: str) -> Sequence[Row]:
        """Return all attempts of a job, oldest first. Raises NotFound."""
        return views.attempts_of(self.store, actor, job_id)

    def list_artefacts(self, actor: Actor, job_id: str) -> Sequence[Row]:
        """Return the artefacts of a job, sorted by path. Raises NotFound."""
        return views.artefacts_of(self.store, actor, job_id)

    def list_checkpoints(self, actor: Actor, job_id: str) -> checkpoints.Checkpoints:
        """Return the checkpoints of a job or of one element of an array. Raises NotFound, Unavailable."""
        return checkpoints.list_checkpoints(self.store, actor, self.runtime, job_id)

    def cost(self, actor: Actor, job_id: str) -> JobCost:
        """Return the charges of a job, or of all elements of an array. Raises NotFound."""
        return costs.job_cost(self.store, actor, job_id)

    def list_spans(self, actor: Actor, job_id: str) -> Sequence[Use]:
        """Return the usage spans of a job or of one element, oldest first. Raises NotFound."""
        return costs.job_use(self.store, actor, job_id)

    def newest_attempt(self, actor: Actor, job_id: str) -> str | None:
        """Return the id of a job's newest attempt; None before the first. Raises NotFound."""
        return follow.newest_attempt(self.store, actor, job_id)

    def read_log(
        self, actor: Actor, job_id: str, attempt_id: str | None, rank: int, offset: int, limit: int
    ) -> LogChunk:
        """Return a part of a task's log. Raises NotFound, Conflict for an array, Unavailable."""
        return follow.read_log(self.store, actor, self.runtime, job_id, attempt_id, rank, offset, limit)

    def read_positions(
        self, positions: Sequence[LogPosition], limit: int
    ) -> Sequence[tuple[LogPosition, LogChunk]]:
        """Read on at many log positions, which `read_log` has allowed before, with one database transaction."""
        return follow.read_positions(self.store, self.runtime, positions, limit)

    def read_metrics(
        self, actor: Actor, job_id: str, attempt_id: str | None = None, since_us: int = 0
    ) -> Sequence[MetricSample]:
        """Return metric samples after `since_us`; none before the first attempt. Raises NotFound, Unavailable."""
        return follow.read_metrics(self.store, actor, self.runtime, job_id, attempt_id, since_us)

    def history(self, actor: Actor, *, org: str | None = None, span_s: int = 24 * 3600) -> history.History:
        """Return cards in use and jobs waiting during the last `span_s` seconds. Raises NotFound, Forbidden."""
        return history.history(self.store, actor, span_s=span_s, org=org)

    def count_jobs(self, actor: Actor, *, org: str | None = None) -> Mapping[str, int]:
        """Return job counts by state: all jobs that have not ended, and ended ones submitted in the last 24 hours."""
        return history.count_jobs(self.store, actor, org=org)

    def hourly_price(self, actor: Actor, *, org: str | None = None) -> int:
        """Return the price of an hour of everything that runs, in micro-yuan. Raises NotFound, Forbidden."""
        return history.hourly_now(self.store, actor, org=org)

    def newest_change(self) -> int:
        """Return the number of the newest change of any job, node or other row with states."""
        return self.store.read(changes.newest_change)

    def changes_since(self, seen: int) -> tuple[int, frozenset[str] | None]:
        """Return the number of the newest change, and the organisations that changed after `seen` (None: all)."""
        return self.store.read(lambda tx: changes.changes_since(tx, seen))
