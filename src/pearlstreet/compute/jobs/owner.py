"""The job as the owner of attempts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.engines.protocol import AttemptOrder
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.owners import Kept
from pearlstreet.compute.jobs import collecting, lifecycle, orders
from pearlstreet.compute.jobs.hub_files import input_files, recheck_inputs, with_input_files
from pearlstreet.compute.jobs.model import JOB, JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing.owners import MaintenanceNotice, QueuedOwner, WaitReason
from pearlstreet.compute.queueing.windows.loop import minute
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.transitions import record_transition

MAINTENANCE_AHEAD = "maintenance_ahead"
"""Event in the timeline of a job that maintenance will stop."""
_SET_REASON = sa.update(jobs).where(
    jobs.c.id == sa.bindparam("of_job"), jobs.c.state == JobState.QUEUED.value
)


@dataclass(frozen=True, slots=True)
class JobOwner(QueuedOwner):
    """Moves a job with its attempts, and keeps their outputs as artefacts."""

    runtime: Runtime
    kind = JOB

    def order(self, tx: Tx, attempt: Row) -> AttemptOrder | Callable[[], AttemptOrder]:
        order = orders.build_order(tx, self.runtime, attempt)
        job = _job(tx, attempt)
        recheck_inputs(tx, job)
        files = input_files(tx, job["array_id"] or job["id"], orders.INPUTS)
        if not files:
            return order
        return lambda: with_input_files(self.runtime, order, files, orders.INPUTS_VALID_S)

    def on_placed(self, tx: Tx, request: Row, attempt_id: str) -> None:
        lifecycle.place_job(tx, request["id"], attempt_id)

    def on_reasons(self, tx: Tx, reasons: Mapping[str, WaitReason | None]) -> None:
        values = [
            {
                "of_job": job_id,
                "reason_code": None if why is None else why.code,
                "reason": None if why is None else why.reason.to_json(),
            }
            for job_id, why in reasons.items()
        ]
        tx.execute(_SET_REASON, values)

    def on_queues(self, tx: Tx, queues: Collection[str], default_queue: str) -> None:
        lost = (jobs.c.state == JobState.QUEUED.value) & jobs.c.queue.not_in(sorted(queues))
        tx.execute(sa.update(jobs).where(lost).values(queue=default_queue))

    def on_maintenance(self, tx: Tx, attempt: Row, notice: MaintenanceNotice) -> None:
        row = _job(tx, attempt)
        record_transition(tx, row["id"], row["state"], row["state"], MAINTENANCE_AHEAD, notice.sentence)
        if not notice.is_first:
            return  # an array gets one message, not one for each element
        told = {
            "job": row["array_id"] or row["id"],
            "name": row["name"],
            "user": row["owner"].split(" ")[0],
            "node": notice.node,
            "begins": minute(notice.begins_us),
            "ends": minute(notice.ends_us),
            "reason": notice.reason,
            "array": None,
        }
        outbox.emit(tx, "job.maintenance", told, org_id=row["org_id"])

    def on_starting(self, tx: Tx, attempt: Row) -> None:
        lifecycle.start_job(tx, _job(tx, attempt))

    def on_running(self, tx: Tx, attempt: Row, started_us: int) -> None:
        lifecycle.run_job(tx, _job(tx, attempt), started_us)

    def on_ready(self, tx: Tx, attempt: Row) -> None:
        _note_event(tx, attempt, "ready", text("All its tasks take requests"))

    def on_unready(self, tx: Tx, attempt: Row) -> None:
        _note_event(tx, attempt, "unready", text("A task takes no requests any more"))

    def on_restarted(self, tx: Tx, attempt: Row, restarts: int) -> None:
        reason = plural(
            "Its tasks were started again {count} time in this attempt",
            "Its tasks were started again {count} times in this attempt",
            count=restarts,
        )
        _note_event(tx, attempt, "restarted", reason)

    def on_stopping(self, tx: Tx, attempt: Row, why: StopReason, reason: Text) -> None:
        lifecycle.stop_job(tx, _job(tx, attempt), why, reason)

    def on_freed(self, tx: Tx, attempt: Row) -> None:
        lifecycle.count_served(tx, attempt)

    def on_collecting(self, tx: Tx, attempt: Row, message: Text | None) -> None:
        lifecycle.collect_job(tx, _job(tx, attempt), attempt, message)

    def on_ended(self, tx: Tx, attempt: Row, message: Text | None, *, outputs_refused: bool) -> None:
        lifecycle.finish_job(tx, _job(tx, attempt), attempt, message, outputs_refused=outputs_refused)

    def on_low_balance(self, tx: Tx, attempt: Row, left_minutes: int) -> None:
        job = tx.first(sa.select(jobs.c.name, jobs.c.owner).where(jobs.c.id == attempt["owner_id"]))
        told: dict[str, object] = {"job": attempt["owner_id"], "minutes": left_minutes}
        if job is not None:
            told |= {"name": job["name"], "user": job["owner"].split(" ")[0]}
        outbox.emit(tx, "job.stopping", told, org_id=attempt["org_id"])

    def ended(self, tx: Tx, owner_ids: Sequence[str]) -> Mapping[str, int]:
        over = jobs.c.id.in_(owner_ids) & jobs.c.ended_us.is_not(None)
        return {
            row["id"]: row["ended_us"] for row in tx.rows(sa.select(jobs.c.id, jobs.c.ended_us).where(over))
        }

    def load_outputs(self, tx: Tx, attempt: Row) -> Row:
        return collecting.load_outputs(self.runtime, tx, attempt)

    def keep_outputs(self, attempt: Row, loaded: Row) -> collecting.StoredOutputs:
        return collecting.keep_outputs(self.runtime, attempt, loaded)

    def note_outputs(self, tx: Tx, attempt: Row, loaded: Row, stored: Any) -> Kept:
        return collecting.note_outputs(self.runtime, tx, attempt, loaded, stored)


def _note_event(tx: Tx, attempt: Row, event: str, reason: Text) -> None:
    """Write an event of a service into the timeline of its job, whose state it does not change."""
    row = _job(tx, attempt)
    record_transition(tx, row["id"], row["state"], row["state"], event, reason)


def _job(tx: Tx, attempt: Row) -> Row:
    return lifecycle.job_row(tx, attempt["owner_id"])
