"""Connections of people to the ports of their services: who may, and to which port."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import text
from pearlstreet.compute.engines.connections import can_connect, open_connection
from pearlstreet.compute.engines.shells import ShellOrder
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.shells import OpenShell
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.shells import SCOPE
from pearlstreet.compute.jobs.views import check_rank, find_job, latest_attempt
from pearlstreet.compute.jobs.withholding import refuse_withheld
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

AUDIT_EVERY_S = 600.0
"""Time in which further connections of a user to the same port are not written to the audit log again."""


@dataclass(frozen=True, slots=True)
class _Target:
    port: str
    address: str


def connect_port(
    store: Store, actor: Actor, runtime: Runtime, job_id: str, rank: int, port: str
) -> OpenShell:
    """Open a connection to a port of a task of a running service, and write that to the audit log.

    It is read, written and closed as a shell. `port` empty: the only one. Raises NotFound, Forbidden, Conflict if the job does
    not run, is no service or does not accept the connection, TooMany.
    """
    target = store.read(lambda tx: _target(tx, actor, job_id, rank, port))
    user = actor.user_id or actor.label
    order = ShellOrder(("connect", target.port))
    shell = OpenShell(new_id("conn", store.clock, store.rng), job_id, rank, user, order, store.clock)
    runtime.connections.add(shell)
    try:
        is_new = runtime.connections.is_new_target(
            (user, job_id, rank, target.port), store.clock, AUDIT_EVERY_S
        )
        store.write(lambda tx: _record(tx, actor, shell, target.port, is_new=is_new))
        link = open_connection(target.address)
    except OSError:
        runtime.connections.drop(shell)
        raise Conflict(
            text("The service does not accept connections now"),
            hint=text(
                "pearl job {job} shows whether it is ready, and pearl logs {job} what it writes", job=job_id
            ),
        ) from None
    except BaseException:
        runtime.connections.drop(shell)
        raise
    shell.start(link, runtime.stopping)
    return shell


def _target(tx: Tx, actor: Actor, job_id: str, rank: int, port: str) -> _Target:
    row = find_job(tx, actor, job_id, SCOPE)
    refuse_withheld(tx, row)
    attempt = latest_attempt(tx, actor, job_id) if row["array_size"] is None else None
    if attempt is None or attempt["state"] != AttemptState.RUNNING.value:
        raise Conflict(
            text("{job} does not run", job=row["name"]),
            hint=text("Only a running service is reached; pearl job {job} shows its state", job=job_id),
        )
    check_rank(rank, len(attempt["placement"]["tasks"]))
    if attempt["stop_reason"] is not None:
        raise Conflict(text("{job} is being stopped and takes no more requests", job=row["name"]))
    ports = {one["port"]: one["address"] for one in attempt["endpoints"] or () if one["rank"] == rank}
    if not ports:
        raise Conflict(
            text("{job} has no ports", job=row["name"]),
            hint=text("Ports are named in the specification: service: {{ports: {{web: 8080}}}}"),
        )
    if not port and len(ports) == 1:
        port = next(iter(ports))
    if port not in ports:
        raise NotFound(
            text("{job} has no port {port}", job=row["name"], port=repr(port[:40])),
            hint=text("Its ports are: {names}", names=", ".join(ports)),
        )
    if not can_connect(ports[port]):
        raise Conflict(text("The engine {engine} only pretends to run services", engine=attempt["engine"]))
    return _Target(port, ports[port])


def _record(tx: Tx, actor: Actor, shell: OpenShell, port: str, *, is_new: bool) -> OpenShell:
    row = find_job(tx, actor, shell.job_id, SCOPE)
    if not is_new:
        return shell
    details = {"port": port, "rank": shell.rank, "connection": shell.id}
    audit.record(
        tx,
        actor=actor.label,
        action="job.connect",
        target=shell.job_id,
        org_id=row["org_id"],
        details=details,
    )
    return shell
