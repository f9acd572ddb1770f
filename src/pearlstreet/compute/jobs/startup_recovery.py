"""Startup recovery: checks for missing engines, plugins and prepared folders, and retries quarantined rows."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import lifecycle
from pearlstreet.compute.jobs.build_requests import NO_ENGINE, builders, request_build
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.preparing import BUILDING, FAILED, WANTED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.prepared_limit import READY, prepared_folder
from pearlstreet.compute.jobs.tables import jobs, preparations, waits
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.compute.queueing.waiting import set_blocked, withdraw_request
from pearlstreet.compute.scheduling.registry import check_config
from pearlstreet.ledger.rules import KINDS
from pearlstreet.ledger.tables import price_rules
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import retry_quarantined
from pearlstreet.store.transitions import record_transition

_INSTALL = text("Install the plugin that brings it, or start an older program and choose another first")


def recover(tx: Tx, runtime: Runtime) -> None:
    """Adapt the rows to this server before its loops start. Raises ConfigurationError."""
    check_engines(tx, runtime)
    check_parts(tx, runtime)
    restart_builds(tx)
    rebuild_missing(tx, runtime)
    queue_builds(tx, runtime)
    retry_quarantined(tx)


def check_engines(tx: Tx, runtime: Runtime) -> None:
    """Raise ConfigurationError if an engine with unfinished attempts is not configured.

    Without it, its attempts would not be watched, stopped, billed or ended.
    """
    left = (attempts.c.state != AttemptState.ENDED.value) & attempts.c.engine.not_in(sorted(runtime.engines))
    query = sa.select(attempts.c.engine, sa.func.count().label("count")).where(left)
    row = tx.first(query.group_by(attempts.c.engine))
    if row is not None:
        raise ConfigurationError(
            plural(
                "{count} attempt still runs on engine {engine}",
                "{count} attempts still run on engine {engine}",
                count=row["count"],
                engine=row["engine"],
            ),
            hint=text(
                "Start the center as before, cancel them or wait for their end, then change the engine"
            ),
        )


def check_parts(tx: Tx, runtime: Runtime) -> None:
    """Raise ConfigurationError if the policy in force or a price list needs a part that is not registered.

    It may be of a plugin that is not installed any more. Without it planning or billing would fail.
    """
    try:
        check_config(runtime.policy.current(tx).planner)
    except InvalidInput as error:
        raise ConfigurationError(error.message, hint=_INSTALL) from error
    for kind in tx.execute(sa.select(price_rules.c.kind).distinct()).scalars():
        if kind not in KINDS:
            raise ConfigurationError(
                text("There is no kind of price rule named {kind}", kind=kind), hint=_INSTALL
            )


def restart_builds(tx: Tx) -> int:
    """Request again the builds that an older version started without an attempt's row, and return their number."""
    known = sa.select(attempts.c.id).where(attempts.c.id == preparations.c.attempt_id)
    query = sa.select(preparations).where(preparations.c.state == BUILDING, ~known.exists())
    rows = tx.rows(query)
    for row in rows:
        _want_again(tx, row)
    return len(rows)


def rebuild_missing(tx: Tx, runtime: Runtime) -> int:
    """Request that preparations with a missing folder be built again (backups contain none), and return their number."""
    if not builders(runtime.engines):
        return 0
    ready = tx.rows(sa.select(preparations).where(preparations.c.state == READY))
    gone = {row["id"]: row for row in ready if not prepared_folder(runtime, row).is_dir()}
    for row in gone.values():
        _want_again(tx, row)
    if gone:
        _block_users(tx, set(gone))
    return len(gone)


def queue_builds(tx: Tx, runtime: Runtime) -> int:
    """Let wanted builds be planned whose requests do not fit the engines of this server, and return their number.

    An older version wrote no requests for builds, and engines may have been added or removed. Without an engine that builds they
    fail, with the jobs that wait for them.
    """
    requests = waiting.join(preparations, preparations.c.id == waiting.c.id)
    of = {
        row.id: set((row.request or {}).get("engines", ()))
        for row in tx.execute(sa.select(waiting.c.id, waiting.c.request).select_from(requests))
    }
    able, count = builders(runtime.engines), 0
    for row in tx.rows(sa.select(preparations).where(preparations.c.state == WANTED)):
        known = of.get(row["id"], set())
        if not able:
            _fail_build(tx, row)
        elif not known or not known <= able:
            request_build(tx, runtime, row, known & able or able)
            count += 1
    return count


def _fail_build(tx: Tx, row: Row) -> None:
    values = {"state": FAILED, "message": NO_ENGINE.to_json(), "at_us": tx.now_us}
    tx.execute(sa.update(preparations).where(preparations.c.id == row["id"]).values(**values))
    record_transition(tx, row["id"], row["state"], FAILED, "gone", NO_ENGINE)
    withdraw_request(tx, row["id"])
    lifecycle.release_prepared(tx, row["id"], ready=False, reason=NO_ENGINE)


def _want_again(tx: Tx, row: Row) -> None:
    values = {"state": WANTED, "attempt_id": None, "at_us": tx.now_us}
    tx.execute(sa.update(preparations).where(preparations.c.id == row["id"]).values(**values))
    record_transition(tx, row["id"], row["state"], WANTED, "gone")


def _block_users(tx: Tx, gone: set[str]) -> None:
    """Let queued jobs, and arrays with queued elements, wait again for the preparations they need."""
    whole = jobs.c.array_id.is_(None) & jobs.c.preparations.is_not(None)
    queued = (jobs.c.state == JobState.QUEUED.value) | (jobs.c.n_queued > 0)
    for job in tx.rows(sa.select(jobs.c.id, jobs.c.preparations).where(whole, queued)):
        for preparation_id in gone & set((job["preparations"] or {}).values()):
            key = (waits.c.job_id == job["id"]) & (waits.c.on_id == preparation_id)
            if tx.first(sa.select(waits).where(key)) is not None:
                continue
            tx.execute(sa.insert(waits).values(job_id=job["id"], on_id=preparation_id, condition="ready"))
            family = (jobs.c.id == job["id"]) | (jobs.c.array_id == job["id"])
            tx.execute(sa.update(jobs).where(family).values(blocked=jobs.c.blocked + 1))
            set_blocked(tx, job["id"], blocked=True)
