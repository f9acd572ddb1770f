"""The serial applier checks every decision of the planner against the current rows and writes those that are valid.

Devices are allocated only here, under one named lease. The unique column `allocations.whole` is the last safeguard against
allocating a device twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PaymentRequired, Unavailable
from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.execution.lifecycle import place_attempt, request_stop
from pearlstreet.compute.execution.limits import time_left_s
from pearlstreet.compute.execution.metering import hold_amount, priced_apart, rate_of, usage_of
from pearlstreet.compute.execution.model import LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.execution.new_attempt import NewAttempt
from pearlstreet.compute.execution.owners import Owners, owner_of
from pearlstreet.compute.execution.tables import allocations, attempts
from pearlstreet.compute.hardware.normalise import NormalisedRate
from pearlstreet.compute.pool.inventory import Node, nodes_named
from pearlstreet.compute.queueing.model import AccountId, ResourceRequest
from pearlstreet.compute.queueing.owners import WaitReason, queued_owner
from pearlstreet.compute.queueing.planner_rows import NEXT_TASKS, load_quotas, planned_of
from pearlstreet.compute.queueing.planning_window import IN_MAX
from pearlstreet.compute.queueing.reason_names import ReasonNames
from pearlstreet.compute.queueing.runtime import QueueingSettings
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.compute.queueing.waiting import withdraw_request
from pearlstreet.compute.queueing.windows.rows import load_reservations
from pearlstreet.compute.scheduling.plan import Placement, Plan, Wait
from pearlstreet.compute.scheduling.rows import Quota, Reservation, node_row
from pearlstreet.ledger.funds import available
from pearlstreet.ledger.holds import place_hold
from pearlstreet.store import leases
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import backoff_s, forget_failure, note_failure

CHUNK = 16
"""Placements written in one transaction."""
_REQUESTS = sa.select(waiting).where(waiting.c.id.in_(sa.bindparam("ids", expanding=True)))
_LIVE = sa.select(attempts.c.id, attempts.c.engine, attempts.c.started_us).where(
    attempts.c.state.in_(LIVE_ATTEMPT)
)
_UNSTARTED = (
    sa.select(attempts.c.engine, sa.func.count().label("waiting"))
    .where(attempts.c.state.in_((AttemptState.PLACED.value, AttemptState.STARTING.value)))
    .group_by(attempts.c.engine)
)
_PLACEMENTS = sa.select(attempts.c.id, attempts.c.placement).where(
    attempts.c.id.in_(sa.bindparam("ids", expanding=True))
)
_ALLOCATED = sa.select(allocations).where(allocations.c.node.in_(sa.bindparam("nodes", expanding=True)))
_SET_REASON = sa.update(waiting).where(waiting.c.id == sa.bindparam("of_id"))
_KINDS = sa.select(waiting.c.id, waiting.c.owner_kind).where(
    waiting.c.id.in_(sa.bindparam("ids", expanding=True))
)
REASONS_MAX = 500
"""Changed reasons written in one cycle."""
CLEARED_MAX = 5_000
"""Reasons of jobs that left the planner's window, cleared in one cycle."""
LEADER = "planner"
"""Name of the lease that the planning server holds."""
LEASE_S = 30.0
LOOP = "plan_jobs"
ENGINE_QUEUE = "engine_queue"
"""Reason code of a job that fits, but whose engine has as many attempts waiting for machines as the center submits."""
log = structlog.get_logger("planner")


@dataclass(frozen=True, slots=True)
class PlanContext:
    """The rows that a cycle planned with, beside the plan itself."""

    asks: Mapping[str, ResourceRequest]
    nodes: Mapping[str, Node]
    codes: Mapping[str, str | None]
    """Reason code in the row of each waiting job (None: it has none)."""
    rates: Mapping[str, NormalisedRate]
    quotas: Sequence[Quota]
    """Quotas the plan respects; when the current ones differ, its placements are dropped and planned again."""
    reservations: Sequence[Reservation] = ()
    """Reservations the plan respects; when the current ones differ, its placements are dropped and planned again."""
    leader: leases.Holder | None = None
    """Holder of the planner lease when the rows were read. If another server held it since, the plan lacks its placements."""


@dataclass(slots=True)
class Applier:
    """Writes plans to the database. Each process has one; the named lease lets only one of them write."""

    settings: QueueingSettings
    paces: Mapping[str, float] = field(default_factory=dict)
    """Engine → its speed as a multiple of real time (other than 1 only in simulations)."""
    owners: Owners = field(default_factory=dict)
    """Owners of the attempts that it stops, by kind."""
    self_placing: Mapping[str, int | None] = field(default_factory=dict)
    """Engine that chooses nodes or devices itself → maximum number of attempts that may wait there for machines (None: any)."""
    sharing: Mapping[str, str] = field(default_factory=dict)
    """Engine → how it keeps shares of one device apart."""
    held: dict[tuple[str, int | None], Sequence[tuple[str, int, int]]] = field(default_factory=dict)
    """Live attempt (id; start, if its engine chooses its node) → (node, cpu_milli, memory_mib) of its tasks, parsed once."""
    token: str = ""
    short: dict[str, tuple[AccountId, int]] = field(default_factory=dict)
    """Job that its organisation could not pay → its account and the micro-yuan that its hold needs. It is not planned before the
    balance covers that."""
    broken: dict[str, tuple[AccountId, int]] = field(default_factory=dict)
    """Job whose placement could not be written → its account, and the time of the next try (µs since 1970)."""

    def held_back(self, tx: Tx) -> dict[str, AccountId]:
        """Return the jobs that must not be planned now, with their accounts.

        They could not start, so devices planned for them would be kept from jobs that can start.
        """
        waiting = self._still_queued(tx, [*self.short, *self.broken])
        self.short = {job: needed for job, needed in self.short.items() if job in waiting}
        self.broken = {job: again for job, again in self.broken.items() if job in waiting}
        has = {org: available(tx, org).micro for org in {account[0] for account, _ in self.short.values()}}
        unpaid = {job: account for job, (account, micro) in self.short.items() if has[account[0]] < micro}
        return unpaid | {job: account for job, (account, due_us) in self.broken.items() if due_us > tx.now_us}

    def _still_queued(self, tx: Tx, job_ids: Sequence[str]) -> set[str]:
        parts = [job_ids[start : start + IN_MAX] for start in range(0, len(job_ids), IN_MAX)]
        return {row["id"] for part in parts for row in tx.execute(_KINDS, {"ids": part}).mappings()}

    def clear_reasons(self, store: Store, job_ids: Sequence[str]) -> None:
        """Clear the stored reasons of jobs that the planner no longer looks at; `why` finds their reason itself."""
        for start in range(0, min(len(job_ids), CLEARED_MAX), REASONS_MAX):
            part = job_ids[start : start + REASONS_MAX]
            store.write(partial(_note_reasons, self.owners, dict.fromkeys(part)))

    def write_reasons(
        self, store: Store, reasons: Mapping[str, WaitReason], codes: Mapping[str, str | None]
    ) -> None:
        """Write reasons that the planner does not find itself, of requests that have another one."""
        changed = {one: why for one, why in reasons.items() if why.code != codes.get(one)}
        if changed:
            store.write(partial(_note_reasons, self.owners, changed))

    def write(self, store: Store, answer: Plan, context: PlanContext) -> int:
        """Write placements, preemptions and changed reasons, and return the number of dropped placements."""
        dropped = 0
        for start in range(0, len(answer.placements), CHUNK):
            part = answer.placements[start : start + CHUNK]
            dropped += self._write_some(store, part, context)
        stops = [
            *(
                AttemptStop(one.attempt_id, StopReason.PREEMPTED, one.grace_s, one.why)
                for one in answer.preemptions
            ),
            *(
                AttemptStop(one.attempt_id, StopReason.RESIZED, one.grace_s, one.why, one.tasks)
                for one in answer.resizes
            ),
        ]
        if stops:
            store.write(partial(self._stops, stops, context.leader))
        changed = [wait for wait in answer.waits if wait.reason.code.value != context.codes.get(wait.job_id)]
        if changed:
            store.write(partial(_reasons, self.owners, changed[:REASONS_MAX]))
        return dropped

    def _write_some(self, store: Store, part: Sequence[Placement], context: PlanContext) -> int:
        """Write placements in one transaction; if it fails, write them one by one so that only the faulty one is lost."""
        try:
            return store.write(partial(self._placements, part, context))
        except Unavailable:
            raise
        except Exception as error:
            if len(part) > 1:
                return sum(self._write_some(store, [one], context) for one in part)
            log.error("placement failed", job=part[0].job_id, error=str(error), exc_info=True)
            store.write(partial(self._failed, part[0].job_id, error))
            return 1

    def _failed(self, job_id: str, error: Exception, tx: Tx) -> None:
        failures, _ = note_failure(tx, LOOP, job_id, error, gives_up=False)
        row = tx.first(sa.select(waiting.c.org_id, waiting.c.project_id).where(waiting.c.id == job_id))
        if row is not None:
            again_us = tx.now_us + int(backoff_s(failures) * US_PER_S)
            self.broken[job_id] = ((row["org_id"], row["project_id"]), again_us)

    def _placements(self, part: Sequence[Placement], context: PlanContext, tx: Tx) -> int:
        if not self._leads(tx, context.leader) or not _constraints_unchanged(tx, context):
            return len(part)
        names = {task.node for placement in part for task in placement.tasks}
        remaining = RemainingCapacity.of(tx, nodes_named(tx, names), self._held(tx))
        rows = {
            row["id"]: row
            for row in tx.execute(_REQUESTS, {"ids": [placement.job_id for placement in part]}).mappings()
        }
        placed, windows = 0, self._submit_windows(tx)
        for placement in part:
            row = rows.get(placement.job_id)
            if row is None or row["blocked"]:
                continue
            ask = context.asks[row["array_id"] or row["id"]]
            engine = context.nodes[placement.tasks[0].node].engine
            if windows.get(engine, 1) < 1:
                if row["reason_code"] != ENGINE_QUEUE:
                    reason = WaitReason(ENGINE_QUEUE, _queue_is_full(engine, self.self_placing[engine]))
                    _note_reasons(self.owners, {row["id"]: reason}, tx)
            elif remaining.take(placement, ask):
                if self._place(tx, placement, row, ask, context):
                    placed += 1
                    if engine in windows:
                        windows[engine] -= 1
                else:
                    remaining.give_back(placement, ask)
        return len(part) - placed

    def _leads(self, tx: Tx, before: leases.Holder | None) -> bool:
        """Return whether this server holds the planner lease, and no other did since the rows of the plan were read.

        A server that was suspended between reading and writing may find the lease free again after others have planned.
        """
        if not self.token:
            self.token = tx.token_bytes(16).hex()
        holder = leases.named_holder(tx, LEADER)
        if holder != before and (holder is None or holder.token != self.token):
            return False
        return leases.take_named(tx, LEADER, self.token, lease_s=LEASE_S)

    def _stops(self, stops: Sequence[AttemptStop], leader: leases.Holder | None, tx: Tx) -> None:
        if self._leads(tx, leader):
            for stop in stops:
                stop_attempt(tx, self.owners, stop, self.settings.hold_window_s)

    def _place(
        self, tx: Tx, placement: Placement, row: Row, ask: ResourceRequest, context: PlanContext
    ) -> bool:
        attempt_id = tx.new_id("att")
        engine = context.nodes[placement.tasks[0].node].engine
        shares = self.sharing.get(engine, "time_slice")
        usage = usage_of(placement, ask.cpu_milli, ask.memory_mib, context.rates, context.nodes, shares)
        usage = replace(usage, pace=self.paces.get(engine, 1.0))
        usage = priced_apart(tx, row["price_version_id"], usage)
        rate = rate_of(tx, row["price_version_id"], usage)
        limit_s = time_left_s(ask.time_limit_s, _last_attempt(tx, row, ask))
        rate = rate if row["billed"] else Money(0)
        amount = hold_amount(rate, limit_s, self.settings.hold_window_s)
        try:
            hold_id = place_hold(tx, row["org_id"], amount, attempt_id) if row["billed"] else None
        except PaymentRequired as error:
            if not queued_owner(self.owners, row["owner_kind"]).on_refused(tx, row, error.message):
                self.short[row["id"]] = ((row["org_id"], row["project_id"]), amount.micro)
                _note_reasons(self.owners, {row["id"]: WaitReason("balance", error.message)}, tx)
            return False
        attempt = NewAttempt(
            id=attempt_id,
            owner_kind=row["owner_kind"],
            owner_id=row["id"],
            org_id=row["org_id"],
            project_id=row["project_id"],
            number=row["attempts"] + 1,
            engine=engine,
            placement=_placement(placement, ask),
            usage=usage,
            price_version_id=row["price_version_id"],
            rate=rate,
            hold_id=hold_id,
            time_limit_s=limit_s,
            covered_s=min(limit_s, self.settings.hold_window_s),
            grace_s=ask.grace_s,
            why_here=placement.why.to_json(),
            planned=planned_of(row, ask),
            array_id=row["array_id"],
        )
        place_attempt(tx, attempt)
        withdraw_request(tx, row["id"])
        queued_owner(self.owners, row["owner_kind"]).on_placed(tx, row, attempt_id)
        if row["id"] in self.broken:
            forget_failure(tx, LOOP, row["id"])
        return True

    def _held(self, tx: Tx) -> list[tuple[str, int, int]]:
        """Return (node, cpu_milli, memory_mib) of every task of a live attempt, from the current rows."""
        live = [
            (row.id, row.started_us if row.engine in self.self_placing else None) for row in tx.execute(_LIVE)
        ]
        self.held = {key: self.held[key] for key in live if key in self.held}
        unknown = {key[0]: key for key in live if key not in self.held}
        ids = list(unknown)
        for start in range(0, len(ids), IN_MAX):
            for row in tx.execute(_PLACEMENTS, {"ids": ids[start : start + IN_MAX]}):
                self.held[unknown[row.id]] = [
                    (task["node"], task["cpu_milli"], task["memory_mib"]) for task in row.placement["tasks"]
                ]
        return [task for tasks in self.held.values() for task in tasks]

    def _submit_windows(self, tx: Tx) -> dict[str, int]:
        """Return how many more attempts each engine with a limit takes before some of those that wait there start."""
        limits = {engine: limit for engine, limit in self.self_placing.items() if limit is not None}
        if not limits:
            return {}
        waiting = {row.engine: int(row.waiting) for row in tx.execute(_UNSTARTED)}
        return {engine: limit - waiting.get(engine, 0) for engine, limit in limits.items()}


def _queue_is_full(engine: str, limit: int | None) -> Text:
    return plural(
        "{count} attempt waits for machines in engine {engine}, the most that the center submits there; it is submitted once "
        "that one has started.",
        "{count} attempts wait for machines in engine {engine}, the most that the center submits there; it is submitted once "
        "one of them has started.",
        count=limit or 0,
        engine=engine,
    )


def _placement(placement: Placement, ask: ResourceRequest) -> dict[str, object]:
    """Return a placement as the attempt's row keeps it."""
    tasks = [
        {
            "rank": rank,
            "node": task.node,
            "cpu_milli": ask.cpu_milli,
            "memory_mib": ask.memory_mib,
            "devices": [
                {"index": d.index, "memory_mib": d.memory_mib, "compute_bp": d.compute_bp, "whole": d.whole}
                for d in task.devices
            ],
        }
        for rank, task in enumerate(placement.tasks)
    ]
    return {
        "tasks": tasks,
        "model": placement.model,
        "position": placement.position,
        "backfilled": placement.backfilled,
        "borrowing": placement.borrowing,
        "chosen": placement.chosen.to_json() if placement.chosen is not None else None,
    }


def _last_attempt(tx: Tx, row: Row, ask: ResourceRequest) -> Row | None:
    """Return the newest attempt of an elastic job; None for other jobs, which are never resized."""
    if not (ask.max_tasks and row["attempts"]):
        return None
    return tx.first(
        sa.select(attempts).where(attempts.c.owner_id == row["id"], attempts.c.number == row["attempts"])
    )


@dataclass(slots=True)
class RemainingCapacity:
    """Free devices, CPU and memory of some nodes, computed from the current rows independently of the planner."""

    free: dict[tuple[str, int], list[int]]
    cpu: dict[str, int]
    memory: dict[str, int]

    @staticmethod
    def of(tx: Tx, nodes: Sequence[Node], held: Sequence[tuple[str, int, int]]) -> RemainingCapacity:
        """Compute what is free. `held`: (node, cpu_milli, memory_mib) of every task of a live attempt."""
        remaining = RemainingCapacity({}, {}, {})
        for node in nodes:
            if not node.schedulable:
                continue
            row = node_row(node.report)
            remaining.cpu[row.name], remaining.memory[row.name] = row.cpu_milli, row.memory_mib
            for device in row.devices:
                if device.healthy:
                    remaining.free[row.name, device.index] = [device.memory_mib, 10_000]
        for given in tx.execute(_ALLOCATED, {"nodes": sorted(remaining.cpu)}):
            left = remaining.free.get((given.node, given.device))
            if left is not None:
                left[0] -= given.memory_share
                left[1] -= given.compute_share
        for name, cpu_milli, memory_mib in held:
            if name in remaining.cpu:
                remaining.cpu[name] -= cpu_milli
                remaining.memory[name] -= memory_mib
        return remaining

    def take(self, placement: Placement, ask: ResourceRequest) -> bool:
        """Subtract what a placement needs and return True; return False and change nothing if it does not fit."""
        self._move(placement, ask, -1)
        fits = all(
            (task.node, d.index) in self.free and min(self.free[task.node, d.index]) >= 0
            for task in placement.tasks
            for d in task.devices
        ) and all(
            task.node in self.cpu and self.cpu[task.node] >= 0 and self.memory[task.node] >= 0
            for task in placement.tasks
        )
        if not fits:
            self._move(placement, ask, 1)
        return fits

    def give_back(self, placement: Placement, ask: ResourceRequest) -> None:
        """Add back what `take` subtracted for a placement."""
        self._move(placement, ask, 1)

    def _move(self, placement: Placement, ask: ResourceRequest, sign: int) -> None:
        for task in placement.tasks:
            if task.node in self.cpu:
                self.cpu[task.node] += sign * ask.cpu_milli
                self.memory[task.node] += sign * ask.memory_mib
            for device in task.devices:
                left = self.free.get((task.node, device.index))
                if left is not None:
                    left[0] += sign * device.memory_mib
                    left[1] += sign * device.compute_bp


def _constraints_unchanged(tx: Tx, context: PlanContext) -> bool:
    """Return whether quotas and reservations are unchanged since the plan was made."""
    return set(load_quotas(tx)) == set(context.quotas) and set(load_reservations(tx)) == set(
        context.reservations
    )


@dataclass(frozen=True, slots=True)
class AttemptStop:
    """An attempt to be stopped: it is preempted for another job, or its job continues with another number of tasks."""

    attempt_id: str
    why: StopReason
    grace_s: float
    """Grace period of the policy in seconds; a longer one in the job's specification takes precedence."""
    reason: Text
    tasks: int = 0
    """Number of tasks that a resized job continues with; 0 for a preempted one."""


def stop_attempt(tx: Tx, owners: Owners, stop: AttemptStop, window_s: float = 3600.0) -> None:
    """Request that an attempt be stopped, unless it has ended, is being stopped, or may not be stopped for this reason.

    `window_s`: time in seconds for which the balance must cover the next attempt if it has more tasks.
    """
    attempt = tx.first(sa.select(attempts).where(attempts.c.id == stop.attempt_id))
    if attempt is None or attempt["stop_reason"] is not None or attempt["state"] not in LIVE_ATTEMPT:
        return
    ask = (attempt["planned"] or {}).get("request", {})
    if stop.why is StopReason.PREEMPTED and not ask.get("preemptible"):
        return
    here = attempts.c.id == attempt["id"]
    values: dict[str, object] = {}
    if stop.why is StopReason.RESIZED:
        if not _may_resize(tx, attempt, ask, stop.tasks, window_s):
            return
        values["placement"] = {**attempt["placement"], NEXT_TASKS: stop.tasks}
    if stop.grace_s > attempt["grace_s"]:
        values["grace_s"] = stop.grace_s
    if values:
        tx.execute(sa.update(attempts).where(here).values(values))
    request_stop(tx, owner_of(owners, attempt), attempt, stop.why, stop.reason)


def _may_resize(tx: Tx, attempt: Row, ask: Row, tasks: int, window_s: float) -> bool:
    """Return whether the job can run with `tasks` tasks by its specification, and can pay if these are more than now."""
    now = len(attempt["placement"]["tasks"])
    if not ask.get("max_tasks") or not ask["min_tasks"] <= tasks <= ask["max_tasks"] or tasks == now:
        return False
    if tasks < now:
        return True
    rate = Money(-(-attempt["hourly_micro"] * tasks // now))
    return (
        available(tx, attempt["org_id"]).micro >= hold_amount(rate, attempt["time_limit_s"], window_s).micro
    )


def _reasons(owners: Owners, waits: Sequence[Wait], tx: Tx) -> None:
    names = ReasonNames(tx)
    found = {}
    for wait in waits:
        reason = names.name_owner(wait.reason)
        sentence = text("{why}. {unblock}.", why=reason.message, unblock=reason.unblock)
        found[wait.job_id] = WaitReason(reason.code.value, sentence)
    _note_reasons(owners, found, tx)


def _note_reasons(owners: Owners, reasons: Mapping[str, WaitReason | None], tx: Tx) -> None:
    """Write why requests wait (None: it is not known any more), and tell their owners."""
    kinds = {row.id: row.owner_kind for row in tx.execute(_KINDS, {"ids": list(reasons)})}
    if not kinds:
        return
    values = [
        {
            "of_id": owner_id,
            "reason_code": None if (why := reasons[owner_id]) is None else why.code,
            "reason": None if why is None else why.reason.to_json(),
        }
        for owner_id in kinds
    ]
    tx.execute(_SET_REASON, values)
    for kind in sorted(set(kinds.values())):
        mine = {owner_id: reasons[owner_id] for owner_id, of in kinds.items() if of == kind}
        queued_owner(owners, kind).on_reasons(tx, mine)
