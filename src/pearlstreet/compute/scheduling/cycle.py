"""One cycle of the planner: from a snapshot to a plan.

Jobs are tried in the order of the order policy, those within their account's guarantee before those that borrow. Equal
jobs that follow each other are placed in one sweep. The first job that finds no room gets a reservation (EASY backfill:
D. Lifka, "The ANL/IBM SP scheduling system", 1995): jobs after it start only if they end before it or leave it its
nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling import feasible, reasons
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.ties import by_submit, ranked
from pearlstreet.compute.scheduling.placement.choose import Chooser
from pearlstreet.compute.scheduling.plan import Code, Plan, Preemption, Reason, StartEstimate, Wait
from pearlstreet.compute.scheduling.quota import QuotaState
from pearlstreet.compute.scheduling.registry import ORDERS, PLACEMENTS, check_config
from pearlstreet.compute.scheduling.report import Given, placements
from pearlstreet.compute.scheduling.room import PLENTY, Chunk, Need, Room, needs_of
from pearlstreet.compute.scheduling.timeline import Timeline, fits
from pearlstreet.compute.scheduling.victims import Claim, find_victims

_US = 1_000_000
_ESTIMATES = 4
"""Blocked jobs behind the first for which a start time is worked out in one cycle: each costs milliseconds."""

Key = tuple[int, ...]


def plan(snapshot: Snapshot, config: PlannerConfig) -> Plan:
    """What starts now and where, whom to preempt, and why every other waiting job waits. Pure and deterministic."""
    check_config(config)
    return _Cycle(snapshot, config).run()


@dataclass(frozen=True, slots=True)
class _Run:
    """Waiting jobs that follow each other in the order and are equal in all that matters."""

    key: Key
    rows: list[int]


def _runs(snapshot: Snapshot, order: I64) -> Iterator[_Run]:
    waiting = snapshot.waiting
    columns = (
        waiting.request,
        waiting.tasks,
        waiting.org,
        waiting.project,
        waiting.array,
        waiting.array_limit,
        waiting.priority,
        waiting.limit_us,
    )
    table = np.stack([column[order].astype(np.int64) for column in columns], axis=1)
    changes = np.r_[True, (table[1:] != table[:-1]).any(axis=1)] if len(table) else np.zeros(0, np.bool_)
    starts = np.r_[np.flatnonzero(changes), len(table)].tolist()
    for a, b in pairwise(starts):
        yield _Run(tuple(table[a].tolist()), order[a:b].tolist())


class _Cycle:
    """The state of one cycle; every decision is in `_consider`."""

    def __init__(self, snapshot: Snapshot, config: PlannerConfig) -> None:
        self.snapshot, self.config = snapshot, config
        self.room = Room(snapshot)
        self.scorer = PLACEMENTS[config.placement](snapshot, config)
        self.chooser = Chooser(self.room, self.scorer)
        self.quotas = QuotaState(snapshot)
        self.timeline = Timeline(snapshot, self.room, config)
        self.empty = self.room.emptied()
        self.needs: dict[int, tuple[Need, ...]] = {}
        self.elements = np.bincount(
            snapshot.running.array[snapshot.running.array >= 0], minlength=len(snapshot.arrays)
        ).tolist()
        self.leaving = np.zeros(snapshot.running.count, dtype=np.bool_)
        self.given: list[Given] = []
        self.preemptions: list[Preemption] = []
        self.why: dict[int, Reason] = {}
        self.parked: dict[tuple[Key, bool], Reason | None] = {}
        self.full: set[tuple[tuple[int, int], int, bool]] = set()
        self.shortage: dict[tuple[tuple[Need, ...], int, bool], Reason] = {}
        self.impossible: dict[tuple[int, int], Reason | None] = {}
        self.reserved_us = 0
        self.head: int | None = None
        self.considered = self.preempt_tries = self.estimates = 0

    def run(self) -> Plan:
        snapshot, config = self.snapshot, self.config
        keys = ORDERS[config.order].keys(snapshot, config)
        order = ranked((*keys.waiting, *by_submit(snapshot)), snapshot.waiting.ids)
        early = snapshot.waiting.not_before_us[order] > snapshot.now_us
        for row in order[early].tolist():
            self.why[row] = reasons.not_before(int(snapshot.waiting.not_before_us[row]))
        self._passes(order[~early])
        position = np.empty(len(order), dtype=np.int64)
        position[order] = np.arange(1, len(order) + 1)
        return Plan(
            revision=snapshot.revision,
            placements=placements(snapshot, self.room, self.given, position),
            preemptions=tuple(self.preemptions),
            waits=self._waits(order),
            order=config.order,
            placement=config.placement,
            considered=self.considered,
        )

    def _passes(self, order: I64) -> None:
        """First whoever stays within a guarantee, then whoever must borrow; at most `depth` searches each."""
        deferred: list[_Run] = []
        seen = 0
        for run in _runs(self.snapshot, order):
            if self.considered >= self.config.depth:
                break
            seen += len(run.rows)
            left = self._consider(run, guaranteed=True)
            if left:
                deferred.append(_Run(run.key, left))
        self._wait(order[seen:].tolist(), reasons.depth(self.config.depth))
        for run in deferred:
            if self.considered >= 2 * self.config.depth:
                self._wait(run.rows, reasons.depth(self.config.depth))
            else:
                self._consider(run, guaranteed=False)

    def _waits(self, order: I64) -> tuple[Wait, ...]:
        ids, why = self.snapshot.waiting.ids, self.why
        waits: list[Wait] = []
        for row in order.tolist():
            reason = why.get(row)
            if reason is not None:
                waits.append(Wait(ids[row], len(waits) + 1, reason))
        return tuple(waits)

    def _wait(self, rows: list[int], reason: Reason) -> None:
        self.why.update(dict.fromkeys(rows, reason))

    def _consider(self, run: _Run, *, guaranteed: bool) -> list[int]:
        """Place what can be placed of `run`; give the rest a reason, or hand it back to try as a borrower."""
        memo = (run.key, guaranteed)
        if memo in self.parked:
            known = self.parked[memo]
            if known is None:
                return run.rows
            self._wait(run.rows, known)
            return []
        if self.config.backfill == "strict" and self.head is not None:
            self._wait(run.rows, reasons.behind(self.snapshot.waiting.ids[self.head]))
            return []
        return self._try(run, guaranteed)

    def _try(self, run: _Run, guaranteed: bool) -> list[int]:
        request, tasks, org, project, array, array_limit, _, limit_us = run.key
        needs = self._needs(request)
        room_left = array_limit - self.elements[array] if array >= 0 and array_limit >= 0 else PLENTY
        rows, limited, tried = run.rows, False, False
        starved: list[Need] = []
        ask = self.quotas.room_guaranteed if guaranteed else self.quotas.room
        for group in (needs,) if self.scorer.joint else tuple((need,) for need in needs):
            while rows:
                allowed = {need: ask(org, project, need, tasks) for need in group}
                limited = limited or min(allowed.values(), default=PLENTY) < len(rows)
                able = tuple(need for need in group if allowed[need] > 0)
                wanted = min([len(rows), max(room_left, 0), *(allowed[need] for need in able)])
                if not able or wanted == 0:
                    break
                placed, searched = self._place(able, tasks, wanted, limit_us)
                tried = tried or searched
                self._record(run, rows[: len(placed)], placed, guaranteed)
                rows, room_left = rows[len(placed) :], room_left - len(placed)
                if len(placed) < wanted:
                    starved += able
                    break
        self.considered += tried
        if not rows:
            return []
        if room_left <= 0:
            return self._park(run.key, guaranteed, rows, reasons.array_limit(array_limit))
        if limited and guaranteed:
            self.parked[(run.key, True)] = None
            return rows
        if limited and not starved:
            return self._park(run.key, guaranteed, rows, self._quota_reason(run.key, needs))
        self._blocked(run.key, tuple(starved), rows, guaranteed)
        return []

    def _park(self, key: Key, guaranteed: bool, rows: list[int], reason: Reason) -> list[int]:
        """The reason holds for every equal job until the cycle ends, since what is free only shrinks."""
        self.parked[(key, guaranteed)] = reason
        self._wait(rows, reason)
        return []

    def _needs(self, request: int) -> tuple[Need, ...]:
        found = self.needs.get(request)
        if found is None:
            found = self.needs[request] = needs_of(self.snapshot, request)
        return found

    def _lasting(self, limit_us: int) -> bool:
        """Whether a job that starts now may still run when a reservation is due."""
        return not (limit_us > 0 and self.snapshot.now_us + limit_us <= self.reserved_us)

    def _place(
        self, needs: tuple[Need, ...], tasks: int, wanted: int, limit_us: int
    ) -> tuple[list[tuple[Need, list[Chunk]]], bool]:
        """Up to `wanted` jobs, and whether it was searched at all (False: known to be full)."""
        lasting = self._lasting(limit_us)
        held = lasting and self.room.reserved
        needs = tuple(
            need
            for need in needs
            if (need.key, tasks, held) not in self.full and (need.key, tasks, False) not in self.full
        )
        if not needs:
            return [], False
        placed: list[tuple[Need, list[Chunk]]] = []
        if tasks == 1:
            placed += [(need, [chunk]) for need, chunk in self.chooser.singles(needs, wanted, lasting)]
        else:
            while len(placed) < wanted and (gang := self.chooser.gang(needs, tasks, lasting)):
                placed.append((gang[0][0], [chunk for _, chunk in gang]))
        if len(placed) < wanted:
            self.full.update((need.key, tasks, held) for need in needs)
        return placed, True

    def _record(
        self, run: _Run, rows: list[int], placed: list[tuple[Need, list[Chunk]]], guaranteed: bool
    ) -> None:
        _, tasks, org, project, array, _, _, limit_us = run.key
        for row, (need, chunks) in zip(rows, placed, strict=True):
            self.given.append(Given(row, need, tuple(chunks), self.head is not None, not guaranteed))
            self.timeline.placed(need, chunks, limit_us)
            self.quotas.take(org, project, need, tasks)
        if array >= 0:
            self.elements[array] += len(placed)

    def _quota_reason(self, key: Key, needs: tuple[Need, ...]) -> Reason:
        _, tasks, org, project, *_ = key
        bindings = (self.quotas.binding(org, project, need, tasks) for need in needs)
        return reasons.quota(next((binding for binding in bindings if binding is not None), None))

    def _blocked(self, key: Key, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> None:
        """No room: say why; make room by preemption where that is right; reserve for the first such job."""
        request, tasks = key[0], key[1]
        never = self._never(request, tasks)
        if never is not None:
            self._park(key, guaranteed, rows, never)
            return
        same = (needs, tasks, self._lasting(key[7]))
        known = self.shortage.get(same)
        if known is None and self.room.reserved and any(fits(self.room, need, tasks) for need in needs):
            head = self.snapshot.waiting.ids[self.head] if self.head is not None else "-"
            known = self.shortage[same] = reasons.reserved(head, None)
        if known is None or known.code is Code.CAPACITY:
            rows = self._make_room(key, needs, rows, guaranteed)
        if known is not None:
            self._park(key, guaranteed, rows, known)
            return
        if not rows:
            return
        start = None
        if self.head is None:
            self.head = rows[0]
            if self.config.backfill == "easy":
                start = self._reserve(needs, tasks)
        elif self.estimates < _ESTIMATES:
            self.estimates += 1
            start = self._estimate(self.timeline.earliest(needs, tasks))
        found = reasons.details(self.snapshot, self.room, self.snapshot.requests[request], needs, tasks)
        reason = reasons.capacity(found, start)
        self._wait(rows[:1], reason)
        self.shortage[same] = reasons.capacity(found, None)
        self._park(key, guaranteed, rows[1:], self.shortage[same])

    def _never(self, request: int, tasks: int) -> Reason | None:
        memo = (request, tasks)
        if memo not in self.impossible:
            self.impossible[memo] = feasible.check(
                self.snapshot, self.empty, self.snapshot.requests[request], self._needs(request), tasks
            )
        return self.impossible[memo]

    def _estimate(self, found: tuple[int, Need, bool] | None) -> StartEstimate | None:
        """From now until all that must end reached its limit; likely half-way. None when it rests on a guess."""
        if found is None or found[2]:
            return None
        now, latest = self.snapshot.now_us, found[0]
        return StartEstimate(now, now + (latest - now) // 2, latest)

    def _reserve(self, needs: tuple[Need, ...], tasks: int) -> StartEstimate | None:
        found = self.timeline.earliest(needs, tasks)
        if found is None:
            return None
        self._hold(found[0], found[1], tasks)
        return self._estimate(found)

    def _hold(self, at_us: int, need: Need, tasks: int) -> None:
        self.timeline.reserve(at_us, need, tasks, self.scorer)
        self.reserved_us = min(self.reserved_us or at_us, at_us)
        self.chooser.forget()
        self.full = {memo for memo in self.full if not memo[2]}

    def _make_room(self, key: Key, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> list[int]:
        """Stop cheaper attempts for the first of `rows`; returns the rows that got nothing this way."""
        if not guaranteed or self.config.preemption == "none":
            return rows
        tasks, now = key[1], self.snapshot.now_us
        soon = now + round(self.config.grace_s * _US)
        left = list(rows)
        while (
            left
            and self.preempt_tries < self.config.preempt_depth
            and len(self.preemptions) < self.config.preempt_limit
        ):
            self.preempt_tries += 1
            count = self._victims(key, needs, left[0], soon)
            if count == 0:
                break
            ready = self.timeline.room_at(soon)
            need = next((need for need in needs if fits(ready, need, tasks)), None)
            if need is None:
                break
            self._hold(soon, need, tasks)
            self._wait(left[:1], reasons.preempting(count, StartEstimate(now, soon, soon)))
            self.head = left[0] if self.head is None else self.head
            left = left[1:]
        return left

    def _victims(self, key: Key, needs: tuple[Need, ...], row: int, soon: int) -> int:
        """How many attempts are ending or were now told to end for this job; 0 when that would not do."""
        tasks = key[1]
        ending = self.snapshot.running.ending | self.leaving
        ready = self.timeline.room_at(soon)
        if any(fits(ready, need, tasks) for need in needs):
            return int(ending.sum())  # without any, what runs ends by itself just as soon
        reclaims = self.quotas.any_guarantee
        claim = Claim(key[2], key[6], tasks, reclaims)
        found = find_victims(
            self.snapshot, self.config, self.quotas, self.timeline, needs, claim, self.leaving
        )
        if not found:
            return 0
        self.leaving[list(found)] = True
        self.timeline.end_soon(found, soon)
        running, job = self.snapshot.running, self.snapshot.waiting.ids[row]
        for a in found:
            self.preemptions.append(
                Preemption(
                    running.ids[a], running.job_ids[a], job, self.config.grace_s, self._why_stopped(a, key)
                )
            )
        return len(found)

    def _why_stopped(self, attempt: int, key: Key) -> Text:
        if int(self.snapshot.running.priority[attempt]) < key[6]:
            return text("Stopped for a job of higher priority; it goes back to the queue")
        return text("Stopped to give back borrowed capacity; it goes back to the queue")
