"""The planner's loop: loads rows, calls the pure planner and passes its plan to the applier."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import sqlalchemy as sa
import structlog

from pearlstreet.base.errors import Conflict
from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.execution.owners import Owners
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.hardware.normalise import NormalisedRate
from pearlstreet.compute.pool.capacity import rates_by_model
from pearlstreet.compute.pool.inventory import CHANGED, Node, all_nodes, latest_benchmarks
from pearlstreet.compute.queueing.device_prices import device_hours
from pearlstreet.compute.queueing.engine_choice import within_queue
from pearlstreet.compute.queueing.fairness import load_accounts
from pearlstreet.compute.queueing.lanes import beyond_limits, with_lanes
from pearlstreet.compute.queueing.learning import RequestHistory, RuntimeHistory, plain_name
from pearlstreet.compute.queueing.model import PlanningWindow, ResourceRequest, WaitingRow
from pearlstreet.compute.queueing.owners import Lane, WaitReason, lanes_of
from pearlstreet.compute.queueing.plan_applier import LEADER, Applier, PlanContext
from pearlstreet.compute.queueing.planner_rows import (
    LiveAttempts,
    ResumedJob,
    load_quotas,
    load_resumes,
    with_devices_in_use,
)
from pearlstreet.compute.queueing.planning_window import load_window, window_size, with_reasons
from pearlstreet.compute.queueing.policy.model import Policy
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.compute.queueing.windows.rows import load_reservations
from pearlstreet.compute.scheduling.builder import SnapshotBuilder
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.node_table import NodeTable
from pearlstreet.compute.scheduling.predict import Prediction, stem
from pearlstreet.compute.scheduling.rows import (
    Account,
    NodeRow,
    Quota,
    Request,
    Reservation,
    RunningAttempt,
    Service,
    WaitingJob,
    node_row,
)
from pearlstreet.compute.scheduling.topology_cache import PlannerCache
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store import leases
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

PLAN_SOON = "plan_soon"
"""Hint topic: an organisation with few waiting requests has added one, so the planner should pause less before it plans."""
log = structlog.get_logger("planner")


def plan_loop(runtime: QueueingRuntime, owners: Owners) -> Loop:
    """Return the loop that decides what runs next and where."""
    abilities = {name: engine.capabilities() for name, engine in runtime.engines.items()}
    paces = {name: can.pace for name, can in abilities.items()}
    self_placing = {name: can.submit_window for name, can in abilities.items() if can.placement != "device"}
    sharing = {name: can.sharing for name, can in abilities.items()}
    applier = Applier(runtime.settings, paces, owners, self_placing, sharing)
    lanes = lanes_of(owners)
    planner = LivePlanner(
        runtime, applier, runtime.pace, lanes, live=LiveAttempts(self_placing.keys(), lanes)
    )
    return CycleLoop(
        name="plan_jobs",
        cycle=planner.cycle,
        hints=(PLAN, CHANGED),
        interval_s=runtime.settings.plan_interval_s,
        rest=2.0,
        urgent_hints=(PLAN_SOON,),
    )


@dataclass(slots=True)
class _State:
    """Rows that one cycle has read."""

    nodes: list[Node]
    window: PlanningWindow
    outdated: Collection[str]
    """Jobs that wait outside the window but carry a reason from when they were inside it."""
    waiting: list[WaitingJob]
    beyond: Mapping[str, WaitReason]
    """Requests in lanes that wait for others of their organisation."""
    running: list[RunningAttempt]
    codes: Mapping[str, str | None]
    quotas: list[Quota]
    accounts: list[Account]
    rates: Mapping[str, NormalisedRate]
    policy: Policy
    reservations: list[Reservation]
    services: list[Service]
    workload: Mapping[Request, int]
    prices: Mapping[str, int]
    leader: leases.Holder | None
    """Last holder of the planner lease."""


@dataclass(slots=True)
class LivePlanner:
    """Plans in cycles. Requests and placements never change and are cached; everything else is read in each cycle."""

    runtime: QueueingRuntime
    applier: Applier
    pace: float = 1.0
    """Speed of jobs as a multiple of real time; all times of the planner are real time."""
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    """Lanes of the center's own work by kind of owner."""
    queue_engines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Engines of the queues that are restricted to some."""
    revision: int = 0
    asks: dict[str, ResourceRequest] = field(default_factory=dict)
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    """(User digest, name) of the jobs and arrays in `asks`."""
    live: LiveAttempts = field(default_factory=LiveAttempts)
    queue: dict[str, WaitingJob] = field(default_factory=dict)
    ended: RuntimeHistory = field(default_factory=RuntimeHistory)
    generation: int = 0
    """Generation of the predictions in the rows of `queue`."""
    demand: RequestHistory = field(default_factory=RequestHistory)
    cache: PlannerCache = field(default_factory=PlannerCache)
    """Values that the plan of the next cycle reuses."""
    node_table: NodeTable = field(default_factory=NodeTable)
    """Columns of the nodes, reused by the next cycle."""
    known_nodes: KnownNodes = field(default_factory=lambda: KnownNodes())
    """Rows of the nodes as the last cycle read them."""

    def cycle(self, store: Store) -> bool:
        """Run one planning cycle. Returns False: a hint or the interval starts the next one."""
        began_s = store.clock.monotonic_s()
        state = store.read(self._load)
        self.revision += 1
        self.applier.clear_reasons(store, sorted(state.outdated))
        self.applier.write_reasons(store, state.beyond, state.codes)
        snapshot = self._snapshot(store, state)
        if not state.waiting and not _may_grow(state):
            self.runtime.planner_status.publish(snapshot, {}, state.window)
            return False
        lanes = {job.queue for job in state.waiting} & {lane.name for lane in self.lanes.values()}
        config = with_lanes(state.policy.planner, lanes)
        answer = plan(snapshot, config, cache=self.cache, explains=True)
        self.runtime.planner_status.publish(
            snapshot, {wait.job_id: wait for wait in answer.waits}, state.window
        )
        nodes = {node.report.name: node for node in state.nodes}
        context = PlanContext(
            self.asks, nodes, state.codes, state.rates, state.quotas, state.reservations, state.leader
        )
        self.runtime.decisions.take(store, snapshot, config, answer, state.policy.number)
        dropped = self.applier.write(store, answer, context)
        log.debug(
            "planned",
            placed=len(answer.placements),
            waiting=len(answer.waits),
            dropped=dropped,
            seconds=round(store.clock.monotonic_s() - began_s, 4),
        )
        return False

    def _load(self, tx: Tx) -> _State:
        self.ended.learn(tx)
        held_back = self.applier.held_back(tx)
        nodes = all_nodes(tx)
        policy = self.runtime.policy.current(tx)
        self._restrict(policy)
        window = load_window(tx, held_back, _window_size(nodes))
        outdated = self._outdated(tx, window) - held_back.keys()
        found, codes = self._load_waiting(tx, window)
        running = [self._within_queue(one) for one in self.live.load(tx, self.ended.predict)]
        beyond = beyond_limits(self.lanes, window.rows, running)
        if beyond:
            found = [job for job in found if job.id not in beyond]
        rates = rates_by_model(nodes, latest_benchmarks(tx))
        return _State(
            nodes=nodes,
            window=window,
            outdated=outdated,
            waiting=found,
            beyond=beyond,
            running=running,
            codes=codes,
            quotas=load_quotas(tx),
            accounts=load_accounts(tx),
            rates=rates,
            policy=policy,
            reservations=load_reservations(tx),
            services=list(self.ended.services),
            workload=self.demand.learn(tx),
            prices=_prices(tx, rates),
            leader=leases.named_holder(tx, LEADER),
        )

    def _restrict(self, policy: Policy) -> None:
        """Note the engines of the queues; if they changed, the waiting jobs are read anew."""
        found = {name: access.engines for name, access in policy.queues.items() if access.engines}
        if found != self.queue_engines:
            self.queue_engines = found
            self.generation = -1

    def _within_queue(self, attempt: RunningAttempt) -> RunningAttempt:
        """Return a running attempt whose job, resized, stays on the engines of its queue."""
        engines = self.queue_engines.get(attempt.queue)
        if not engines or attempt.request is None:
            return attempt
        return replace(attempt, request=within_queue(attempt.request, engines))

    def _outdated(self, tx: Tx, window: PlanningWindow) -> set[str]:
        """Return jobs outside the window that carry a reason from the cycle before, or from before a restart."""
        before = None if self.revision == 0 else self.queue.keys() - window.ids
        return {job_id for job_id in with_reasons(tx, before) if job_id not in window.ids}

    def _load_waiting(self, tx: Tx, window: PlanningWindow) -> tuple[list[WaitingJob], dict[str, str | None]]:
        found = window.rows
        self._learn_asks(tx, {row.array_id or row.id for row in found})
        planned: list[WaitingJob] = []
        codes: dict[str, str | None] = {}
        kept = self.queue if self.generation == self.ended.generation else {}
        self.queue, self.generation = {}, self.ended.generation
        guesses: dict[tuple[object, ...], Prediction | None] = {}
        resumes = load_resumes(tx, self._elastic(found))
        for row in found:
            ask = self.asks.get(row.array_id or row.id)
            if ask is None:
                continue
            codes[row.id] = row.reason_code
            job = kept.get(row.id)
            goes_on = resumes.get(row.id)
            if job is None or _changed(job, row) or job.resumes_tasks != (goes_on.tasks if goes_on else 0):
                whole = row.array_id or row.id
                user, name = self.users[whole]
                like = (row.org_id, user, stem(plain_name(name)), ask.request(), ask.tasks)
                if like not in guesses:  # most of many thousand jobs repeat a few requests
                    guesses[like] = self.ended.predict(row.org_id, user, name, ask)
                job = _waiting_job(row, ask, user, guesses[like], goes_on, self.pace)
                engines = self.queue_engines.get(row.queue)
                if engines:
                    job = replace(job, request=within_queue(job.request, engines))
                lane = self.lanes.get(row.owner_kind)
                if lane is not None:
                    job = replace(job, array=lane.name, array_limit=lane.running_max, queue=lane.name)
            self.queue[row.id] = job
            planned.append(job)
        return planned, codes

    def _elastic(self, found: Sequence[WaitingRow]) -> dict[str, int]:
        """Return the number of attempts so far of elastic jobs that had any."""
        had = ((row, self.asks.get(row.array_id or row.id)) for row in found if row.attempts)
        return {row.id: row.attempts for row, ask in had if ask is not None and ask.max_tasks}

    def _learn_asks(self, tx: Tx, needed: set[str]) -> None:
        for gone in self.asks.keys() - needed:
            del self.asks[gone], self.users[gone]
        unknown = sorted(needed - self.asks.keys())
        for start in range(0, len(unknown), 500):
            part = unknown[start : start + 500]
            for row in tx.execute(
                sa.select(waiting.c.id, waiting.c.request, waiting.c.user_digest, waiting.c.name).where(
                    waiting.c.id.in_(part)
                )
            ):
                try:
                    self.asks[row.id] = ResourceRequest.from_json(row.request)
                    self.users[row.id] = (row.user_digest, row.name)
                except (KeyError, TypeError, ValueError) as error:
                    log.error("request cannot be read", owner=row.id, error=repr(error))

    def _snapshot(self, store: Store, state: _State) -> Snapshot:
        builder = SnapshotBuilder(lambda model: float(state.rates[model].pflops), self.node_table)
        # A node that is missing temporarily offers nothing, but what runs there counts for quotas and shares.
        in_use = {task.node for attempt in state.running for task in attempt.tasks}
        rows = self.known_nodes.rows(
            [node for node in state.nodes if node.present or node.report.name in in_use]
        )
        builder.set_nodes(with_devices_in_use(rows, state.running))
        for job in state.waiting:
            builder.add_waiting(job)
        for attempt in state.running:
            builder.add_running(attempt)
        builder.set_quotas(state.quotas)
        builder.set_accounts(state.accounts)
        builder.set_reservations(state.reservations)
        builder.set_services(state.services)
        builder.set_workload(state.workload)
        builder.set_prices(state.prices)
        return builder.build(store.clock.now_us(), self.revision)


class _KnownNode(NamedTuple):
    """The row of a node, and what it was made from."""

    report: NodeReport
    state: tuple[bool, str]
    """Whether it is schedulable, and its engine."""
    row: NodeRow


class KnownNodes:
    """Rows of the nodes as the last cycle read them."""

    def __init__(self) -> None:
        self._known: dict[str, _KnownNode] = {}

    def rows(self, nodes: Sequence[Node]) -> list[NodeRow]:
        """Return the planner's rows of nodes; a node that did not change keeps the row it had."""
        known, self._known = self._known, {}
        for node in nodes:
            report, state = node.report, (node.schedulable, node.engine)
            found = known.get(report.name)
            if found is None or found.report is not report or found.state != state:
                row = node_row(report, schedulable=node.schedulable, domain=node.engine)
                found = _KnownNode(report, state, row)
            self._known[report.name] = found
        return [found.row for found in self._known.values()]


def _window_size(nodes: Sequence[Node]) -> int:
    reports = [node.report for node in nodes if node.present]
    return window_size(
        sum(len(report.devices) for report in reports), int(sum(report.cpus for report in reports))
    )


def _prices(tx: Tx, rates: Mapping[str, NormalisedRate]) -> Mapping[str, int]:
    """Return the current price of an hour by model; empty while no price list is valid (submits report that)."""
    try:
        version = current_prices(tx)
    except Conflict:
        return {}
    return device_hours(version, {model: float(rate.pflops) for model, rate in rates.items()})


def _may_grow(state: _State) -> bool:
    """Return whether elastic jobs may be resized although no job waits."""
    config = state.policy.planner
    policies = {config.elasticity, *(queue.elasticity for queue in config.queues)} - {"none", None}
    return bool(policies) and any(attempt.max_tasks for attempt in state.running)


def _changed(job: WaitingJob, row: WaitingRow) -> bool:
    """Return whether one of the changeable columns of a waiting job has changed."""
    return bool(
        job.priority != row.priority
        or job.queue != row.queue
        or job.not_before_us != row.not_before_us
        or job.served_device_us != row.served_device_us
    )


def _waiting_job(
    row: WaitingRow,
    ask: ResourceRequest,
    user: str,
    guess: Prediction | None,
    resumes: ResumedJob | None,
    pace: float,
) -> WaitingJob:
    return WaitingJob(
        id=row.id,
        org=row.org_id,
        project=row.project_id,
        request=ask.request(),
        tasks=ask.tasks,
        priority=row.priority,
        submitted_us=row.submitted_us,
        time_limit_s=(resumes.limit_s if resumes else ask.time_limit_s) / pace,
        preemptible=ask.preemptible,
        not_before_us=row.not_before_us,
        deadline_us=ask.deadline_us or 0,
        array=row.array_id or "",
        element=row.array_index or 0,
        array_limit=row.array_max_running,
        predicted_s=guess.likely_s if guess else None,
        predicted_low_s=guess.low_s if guess else None,
        predicted_high_s=guess.high_s if guess else None,
        user=user,
        queue=row.queue,
        served_device_us=row.served_device_us,
        min_tasks=ask.min_tasks,
        max_tasks=ask.max_tasks,
        resumes_tasks=resumes.tasks if resumes else 0,
    )
