"""Convergence check: after the faults stop, every job ends or waits for a valid reason, and the final state is correct."""

from __future__ import annotations

import json
from typing import Any

from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.scheduling.plan import Code
from pearlstreet.ledger.proof import prove
from pearlstreet.sim.contracts import SimulatedWorld
from pearlstreet.sim.promises import must
from pearlstreet.store import audit
from pearlstreet.tenancy.model import SYSTEM

IDLE_CYCLES_MAX = 20
"""Limit on cycles in which no job ends. Others are not counted, because jobs that each need the whole center end one per
cycle."""
CYCLES_MAX = 500
CYCLE_S = 240.0
"""Time that elapses in a cycle: longer than any job, any retry and most leases."""
ROUNDS_MAX = 20
Row = tuple[Any, ...]
"""A row as the database module of Python returns it."""
WAITS_FOR_PEOPLE = frozenset({"quota", "balance"})
"""Reason codes that only a user or operator can resolve."""
ARRAY_LIMIT = Code.ARRAY_LIMIT.value
NEVER = "impossible"
"""Reason code of a job that no node can run; the server that accepted it did not know the nodes yet."""


def converge(world: SimulatedWorld) -> int:
    """Stop the faults, run cycles until the world rests, check its final state. Return the number of cycles.

    Raises Violation.
    """
    world.heal()
    ended, idle = _ended(world), 0
    for cycle in range(1, CYCLES_MAX + 1):
        world.number += 1
        _cycle(world)
        world.checker.after_step()
        if not _unrest(world):
            _judge(world)
            world.note("world", f"rests after {cycle} cycles")
            return cycle
        before, ended = ended, _ended(world)
        idle += ended == before
        if idle == IDLE_CYCLES_MAX:
            break
        world.time.advance(CYCLE_S)
    must(False, f"the center comes to rest within {IDLE_CYCLES_MAX} idle cycles", _unrest(world)[:5])
    return CYCLES_MAX


def _ended(world: SimulatedWorld) -> int:
    """Return the number of ended jobs, including elements of arrays."""
    query = "SELECT count(*) FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled')"
    return int(world.memory.raw.execute(query).fetchone()[0])


def _cycle(world: SimulatedWorld) -> None:
    """Run every loop once, then the loops that were woken, until none is due."""
    world.active_server.wake_all()
    for _ in range(ROUNDS_MAX):
        due = world.active_server.due()
        if not due:
            return
        for loop in due:
            world.active_server.step(loop)


def _unrest(world: SimulatedWorld) -> list[Row]:
    """Return the rows that still change or wait without a valid reason."""
    rows = world.memory.raw.execute
    active = rows(
        "SELECT id, state, reason_code, blocked FROM jobs WHERE array_size IS NULL"
        " AND state NOT IN ('succeeded', 'failed', 'cancelled')"
    ).fetchall()
    waiting = {row[0]: row for row in active}
    moving = [row for row in active if not _rests(world, row, waiting)]
    moving += rows("SELECT id, state FROM attempts WHERE state <> 'ended'").fetchall()
    moving += rows("SELECT id, state FROM preparations WHERE state IN ('wanted', 'building')").fetchall()
    moving += rows("SELECT id FROM ledger_spans WHERE state = 'due'").fetchall()
    moving += [kept.attempt_id for kept, _ in world.engine.cluster.living()]
    return moving


def _rests(world: SimulatedWorld, row: Row, waiting: dict[str, Row]) -> bool:
    job_id, state, code, blocked = row
    if state != "queued":
        return False
    if not blocked and code is None:
        return _waits_for_its_array(world, job_id, waiting)
    if not blocked:
        return code == NEVER or (code in WAITS_FOR_PEOPLE and not world.scenario.forgives)
    query = "SELECT on_id FROM waits WHERE job_id = ? OR job_id = (SELECT array_id FROM jobs WHERE id = ?)"
    on = world.memory.raw.execute(query, (job_id, job_id)).fetchall()
    return bool(on) and all(_waits(world, on_id, waiting) for (on_id,) in on)


def _waits_for_its_array(world: SimulatedWorld, job_id: str, waiting: dict[str, Row]) -> bool:
    """Return whether an element waits for its array's limit, `why` says so, and another element of the array rests.

    The planner plans only as many elements as may run at once; the rows of the others have no reason, only `why` does.
    """
    answer = why(world.active_server.store, SYSTEM, world.active_server.runtime, job_id)
    query = "SELECT id FROM jobs WHERE array_id = (SELECT array_id FROM jobs WHERE id = ?)"
    others = [other for (other,) in world.memory.raw.execute(query, (job_id,)) if other in waiting]
    planned = [waiting[other] for other in others if waiting[other][2] is not None]
    return answer.code == ARRAY_LIMIT and any(_rests(world, row, waiting) for row in planned)


def _waits(world: SimulatedWorld, on_id: str, waiting: dict[str, Row]) -> bool:
    """Return whether the job or array `on_id`, on which another job waits, itself waits for a valid reason."""
    elements = world.memory.raw.execute("SELECT id FROM jobs WHERE array_id = ?", (on_id,)).fetchall()
    ids = [element for (element,) in elements] or [on_id]
    return any(job_id in waiting and _rests(world, waiting[job_id], waiting) for job_id in ids)


def _judge(world: SimulatedWorld) -> None:
    """Check the final state of a world at rest. Raises Violation."""
    rows = world.memory.raw.execute
    must(not rows("SELECT * FROM allocations").fetchall(), "nothing holds devices at rest", "allocations")
    held = rows("SELECT id, reference FROM ledger_holds WHERE settled_us IS NULL").fetchall()
    must(not held, "holds of what has ended are settled", held)
    _promises(world)
    _use(world)
    _storage(world)
    counts = rows(
        "SELECT id, state, array_size, n_queued, n_active, n_succeeded, n_failed, n_cancelled"
        " FROM jobs WHERE array_size IS NOT NULL"
    ).fetchall()
    for row in counts:
        must(sum(row[3:]) == row[2] and row[4] == 0, "an array counts its elements", row)
    store = world.active_server.store
    report = store.read(prove)
    must(report.is_right, "the books prove", f"{report.row}: {report.problem}")
    log = store.read(audit.verify)
    must(log.problem is None, "the audit log verifies", log.problem)


def _promises(world: SimulatedWorld) -> None:
    rows = world.memory.raw.execute
    states = dict(rows("SELECT id, state FROM jobs").fetchall())
    top_ups = {row[0] for row in rows("SELECT id FROM ledger_top_ups WHERE state = 'posted'")}
    for tenant in world.clients.tenants:
        lost = [job for job in tenant.jobs if job not in states]
        must(not lost, "what was acknowledged is there", lost)
        must(tenant.top_ups <= top_ups, "money that was acknowledged is there", tenant.top_ups - top_ups)
        for job, shown in tenant.ended.items():
            must(states[job] == shown, "an end that was shown stays", f"{job}: {shown}, {states[job]}")
        for job in sorted(tenant.cancelled):
            must(states[job] == "cancelled", "an acknowledged cancel is honoured", f"{job} has {states[job]}")


def _use(world: SimulatedWorld) -> None:
    """Check that every attempt that ran is metered from its start to its end, and no other is."""
    rows = world.memory.raw.execute
    streams: dict[str, list[Row]] = {}
    query = (
        "SELECT t.external_id, min(s.start_us), max(s.end_us) FROM ledger_spans s"
        " JOIN ledger_streams t ON t.id = s.stream_id WHERE t.source = 'compute' GROUP BY t.id"
    )
    for attempt, begun, ended in rows(query):
        streams.setdefault(attempt, []).append((begun, ended))
    for attempt, begun, ended, usage in rows("SELECT id, started_us, ended_us, usage FROM attempts"):
        spans = streams.pop(attempt, [])
        if begun is None or begun == ended:
            must(not spans, "what did not run is not metered", attempt)
            continue
        must(spans or not _counts(usage), "what ran is metered", attempt)
        for span in spans:
            must(
                span == (begun, ended),
                "use is metered from start to end",
                f"{attempt}: {span}, {(begun, ended)}",
            )
    must(not streams, "what is metered ran", sorted(streams))


def _storage(world: SimulatedWorld) -> None:
    """Check that storage levels equal the sizes of kept files and that no time of a project is metered twice."""
    rows = world.memory.raw.execute
    kept = dict(rows("SELECT org_id, sum(size_bytes) FROM artefacts GROUP BY org_id").fetchall())
    query = (
        "SELECT org_id, sum(stored_bytes) FROM storage_levels GROUP BY org_id HAVING sum(stored_bytes) > 0"
    )
    levels = dict(rows(query).fetchall())
    must(levels == kept, "what is stored is the storage level", f"{levels}, {kept}")
    query = (
        "SELECT t.project_id, s.start_us, s.end_us FROM ledger_spans s JOIN ledger_streams t ON t.id = s.stream_id"
        " WHERE t.source = 'storage' ORDER BY t.project_id, s.start_us"
    )
    until_us: dict[str, int] = {}
    for project, start_us, end_us in rows(query):
        must(start_us >= until_us.get(project, 0), "storage is metered once", f"{project}: {start_us}")
        until_us[project] = end_us


def _counts(usage: str) -> bool:
    held = json.loads(usage)
    return bool(held["card_bp"] or held["cpu_milli"] or held["memory_mib"])
