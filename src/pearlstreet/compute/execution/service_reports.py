"""Records what an engine tells of a service: whether it is ready, its restarts, and where its ports are."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.compute.engines.protocol import AttemptReport, ServiceOrder, TaskState
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Row, Tx


def note_service(tx: Tx, attempt_id: str, service: ServiceOrder | None) -> None:
    """Record that an attempt is a service, once an engine has, or may have, accepted it."""
    if service is not None:
        values = {"drain_s": service.drain_s, "is_ready": False}
        tx.execute(sa.update(attempts).where(attempts.c.id == attempt_id).values(**values))


def service_state(report: AttemptReport) -> dict[str, object]:
    """Return what a report tells of a service, as the columns of its attempt."""
    runs = report.state is TaskState.RUNNING
    return {
        "is_ready": runs and all(task.is_ready for task in report.tasks),
        "restarts": sum(task.restarts for task in report.tasks),
        "endpoints": [
            {"rank": task.rank, "port": endpoint.port, "address": endpoint.address}
            for task in report.tasks
            for endpoint in task.endpoints
        ]
        or None,
    }


def has_service_changed(attempt: Row, report: AttemptReport) -> bool:
    """Return whether a report tells something new of a service; False for an attempt that is none."""
    if attempt["drain_s"] is None:
        return False
    return any(attempt[name] != value for name, value in service_state(report).items())


def record_service(tx: Tx, owner: Owner, attempt: Row, report: AttemptReport) -> None:
    """Record what a report tells of a service, and tell its owner. Nothing happens for an attempt that is none."""
    if not has_service_changed(attempt, report):
        return
    state = service_state(report)
    restarts = max(int(str(state["restarts"])), attempt["restarts"])
    tx.execute(
        sa.update(attempts).where(attempts.c.id == attempt["id"]).values(**{**state, "restarts": restarts})
    )
    if restarts > attempt["restarts"]:
        owner.on_restarted(tx, attempt, restarts)
    if state["is_ready"] and not attempt["is_ready"]:
        owner.on_ready(tx, attempt)
    elif attempt["is_ready"] and not state["is_ready"] and report.state is TaskState.RUNNING:
        owner.on_unready(tx, attempt)
