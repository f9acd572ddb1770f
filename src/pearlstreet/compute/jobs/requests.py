"""The waiting requests of jobs and arrays, written beside their rows."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.compute.jobs.model import JOB
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.planner_rows import user_of
from pearlstreet.compute.queueing.waiting import WaitingRequest, add_elements, add_requests
from pearlstreet.store.core import Row, Tx

_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"))


def queue_job(tx: Tx, row: Row, ask: ResourceRequest, elements: Sequence[Row] = ()) -> None:
    """Let a new job be planned, or the elements of a new array."""
    whole = _request(row, ask)
    add_requests(tx, [whole])
    if elements:
        named = [
            {"id": one["id"], "name": one["name"], "array_index": one["array_index"], "array_id": row["id"]}
            for one in elements
        ]
        add_elements(tx, whole, named)


def queue_again(tx: Tx, job_id: str) -> None:
    """Let a job be planned again whose attempt has ended; an element shares the request of its array, which still waits."""
    row = tx.execute(_JOB, {"job": job_id}).mappings().one()
    ask = None if row["array_id"] is not None else ResourceRequest.from_json(row["ask"])
    add_requests(tx, [_request(row, ask)])


def _request(row: Row, ask: ResourceRequest | None) -> WaitingRequest:
    return WaitingRequest(
        id=row["id"],
        owner_kind=JOB,
        org_id=row["org_id"],
        project_id=row["project_id"],
        request=ask,
        price_version_id=row["price_version_id"],
        queue=row["queue"],
        submitted_us=row["submitted_us"],
        name=row["name"],
        user_digest=user_of(row["owner"]),
        priority=row["priority"],
        not_before_us=row["not_before_us"],
        blocked=bool(row["blocked"]),
        attempts=row["attempts"],
        served_device_us=row.get("served_device_us", 0),
        array_id=row.get("array_id"),
        array_index=row.get("array_index"),
        array_size=row.get("array_size"),
        array_max_running=row.get("array_max_running"),
    )
