"""The simulated machines, which always report the truth. Faults are a layer above (`engine.py`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pearlstreet.base.clock import Clock
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines import orders
from pearlstreet.compute.engines.placing import FreeMachines, is_open
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
    PlacementMode,
    TaskState,
)
from pearlstreet.compute.engines.simulated import attempt_timeline, machines, synthetic_output
from pearlstreet.compute.engines.simulated.attempt_timeline import AttemptTimeline, Habits, Kept
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom
from pearlstreet.compute.engines.simulated.memory import LATER_S, WHOLE_NODE, Attempt, Memory
from pearlstreet.compute.hardware.isolation import is_enough

NODES_CACHED_US = 1_000_000
PLACEMENTS: tuple[PlacementMode, ...] = ("device", "node", "engine")


class Cluster:
    """Simulated machines. No code runs: each call computes the state of attempts from the clock."""

    def __init__(
        self,
        nodes: Sequence[NodeReport],
        *,
        clock: Clock,
        rng: Rng,
        time_scale: float = 1.0,
        habits: Habits | None = None,
        state_path: Path | None = None,
        placement: PlacementMode = "device",
        submit_window: int | None = None,
    ) -> None:
        """Raises ConfigurationError when the state cannot be read or another engine holds it."""
        self._clock = clock
        self._placement, self._submit_window = placement, submit_window
        self._admitted_us = 0
        """Time up to which waiting attempts have got the machines that became free."""
        self._admitted_version, self._next_end_us = -1, 0
        self._scale = time_scale
        self._habits = habits or Habits()
        self._lock = threading.RLock()
        self._memory = Memory(rng.token_bytes(16), state_path, clock.now_us())
        self.random = KeyedRandom(self._memory.seed)
        self._machines = machines.Machines(nodes, self.random)
        self._node_reports: tuple[int, tuple[NodeReport, ...]] | None = None
        self.drained: dict[str, str] = {}
        """Reasons of drained nodes, as the center told them."""

    def now_us(self) -> int:
        """Return the clock's time, never earlier than a time already reported or recorded, even across restarts."""
        with self._lock:
            now_us = self._memory.newest_us = max(self._memory.newest_us, self._clock.now_us())
            self._admit(now_us)
            return now_us

    def _admit(self, now_us: int) -> None:
        """Give waiting attempts the machines that became free until now, in their order and at the time when they did."""
        memory = self._memory
        if not memory.waiting or (memory.version == self._admitted_version and now_us < self._next_end_us):
            return
        at_us = max(self._admitted_us, min(a.timeline.accepted_us for a in memory.waiting.values()))
        while at_us < now_us and memory.waiting:
            at_us = min((us for us in self._ends() if at_us < us < now_us), default=now_us)
            self._admit_at(at_us)
        if memory.version != self._admitted_version:
            self._admit_at(now_us)
        self._admitted_us, self._admitted_version = now_us, memory.version
        self._next_end_us = min((us for us in self._ends() if us > now_us), default=0)

    def _ends(self) -> Iterator[int]:
        return (attempt.timeline.ends_us for attempt in self._memory.live.values())

    def _admit_at(self, at_us: int) -> None:
        usable = self._machines.usable(self._memory.broken)
        held = [
            attempt.kept.tasks
            for attempt in self._memory.live.values()
            if not attempt.timeline.is_pending
            and attempt.timeline.accepted_us <= at_us < attempt.timeline.ends_us
        ]
        free: dict[str, FreeMachines] = {}
        """Free machines by the isolation that they must give."""
        for attempt in [*self._memory.waiting.values()]:
            minimum = attempt.kept.minimum_isolation
            if minimum not in free:
                strong = {name: node for name, node in usable.items() if is_enough(node.isolation, minimum)}
                free[minimum] = FreeMachines(strong)
                free[minimum].take_all(held)
            if attempt.timeline.accepted_us > at_us:
                continue
            placed = free[minimum].place(attempt.kept.tasks)
            if placed is None:
                continue
            for level, others in free.items():
                if level != minimum:
                    others.take_all([placed])
            held.append(placed)
            timeline = attempt_timeline.release(attempt.timeline, at_us)
            self._memory.place(attempt, replace(attempt.kept, tasks=placed), timeline)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            runs_code=False,
            pace=self._scale,
            images=True,
            fractions=True,
            multi_node=True,
            services=True,
            placements=PLACEMENTS,
            placement=self._placement,
            submit_window=self._submit_window,
            wall="simulated",
            notices=(text("This cluster is simulated: jobs do not really run, and leave no results"),),
        )

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        with self._lock:
            now_us = self.now_us()
            if self._node_reports is None or now_us - self._node_reports[0] >= NODES_CACHED_US:
                seen = self._machines.look(self._memory.live.values(), self._memory.broken, now_us)
                self._node_reports = (now_us, tuple(seen))
            return Done(self._node_reports[1])

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        return self._start(order, lambda timeline: timeline)

    def set_isolation(self, node: str, level: str) -> None:
        """Make a node report this isolation level from now on."""
        with self._lock:
            self._machines.set_isolation(node, level)
            self._node_reports = None

    def start_partly(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        """Start only the first half of a gang (a fault)."""
        half = len(order.tasks) // 2
        return self._start(order, lambda timeline: attempt_timeline.stick(timeline, half))

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        with self._lock:
            attempt = self._memory.attempts.get(attempt_id)
            if attempt is None:
                return Done(None)
            now_us = self.now_us()
            self._memory.note_ended([attempt], now_us)
            return Done(attempt.report_at(now_us))

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        with self._lock:
            now_us = self.now_us()
            reports = tuple(attempt.report_at(now_us) for attempt in self._memory.attempts.values())
            self._memory.note_ended(list(self._memory.live.values()), now_us)
            return Done(reports)

    def observe(self, cursor: str) -> Outcome[Observation]:
        with self._lock:
            now_us, memory = self.now_us(), self._memory
            memory.note_changes(now_us)
            changed, newest = memory.changes.since(cursor), memory.changes.cursor
            ids = memory.attempts if changed is None else changed
            found = [memory.attempts[attempt_id] for attempt_id in ids if attempt_id in memory.attempts]
            memory.note_ended(found, now_us)
            reports = tuple(attempt.report_at(now_us) for attempt in found)
            gone = tuple(attempt_id for attempt_id in ids if attempt_id not in memory.attempts)
            return Done(Observation(newest, reports, gone, is_complete=changed is None))

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        with self._lock:
            attempt = self._memory.attempts.get(attempt_id)
            if attempt is not None:
                now_us = self.now_us()
                stopped = attempt_timeline.stop(
                    attempt.timeline, attempt_id, self.random, now_us, grace_s, self._scale
                )
                done = self._memory.set_timeline(attempt, stopped)
            elif attempt_id in self._memory.withdrawn:
                done = Done(None)
            else:
                done = self._memory.withdraw(attempt_id)
        return self._memory.durable(None) if isinstance(done, Done) else done

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        with self._lock:
            now_us = self.now_us()
            attempt = self._memory.attempts.get(attempt_id)
            if attempt is None:
                return self.stop(attempt_id, grace_s=grace_s)
            drained = attempt_timeline.drain(
                attempt.timeline, attempt_id, self.random, now_us, grace_s, self._scale
            )
            done = self._memory.set_timeline(attempt, drained)
        return self._memory.durable(None) if isinstance(done, Done) else done

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        with self._lock:
            attempt = self._memory.attempts.get(attempt_id)
            now_us = self.now_us()
        if attempt is None:
            return _unknown_attempt(attempt_id)
        if not 0 <= rank < len(attempt.kept.tasks):
            return Refused("unknown_task", text("Attempt {id} has no task {rank}", id=attempt_id, rank=rank))
        return Done(
            synthetic_output.read_log(
                attempt.kept, attempt.timeline, rank, self.random, now_us, offset=offset, limit=limit
            )
        )

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        with self._lock:
            attempt = self._memory.attempts.get(attempt_id)
            now_us = self.now_us()
        if attempt is None:
            return _unknown_attempt(attempt_id)
        return Done(
            synthetic_output.read_metrics(
                attempt.kept, attempt.timeline, self._machines.traits, self.random, now_us, since_us=since_us
            )
        )

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        with self._lock:
            return Done(()) if attempt_id in self._memory.attempts else _unknown_attempt(attempt_id)

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        with self._lock:
            if attempt_id not in self._memory.attempts:
                return _unknown_attempt(attempt_id)
        if not orders.stays_inside(path):
            return Refused("path_escape", text("{path} leads out of the job's folder", path=repr(path[:200])))
        return Refused(
            "no_such_output", text("Attempt {id} left no file {path}", id=attempt_id, path=path[:200])
        )

    def forget(self, attempt_id: str) -> Outcome[None]:
        with self._lock:
            attempt = self._memory.attempts.get(attempt_id)
            if attempt is None and attempt_id not in self._memory.withdrawn:
                return Done(None)
            if attempt is not None and attempt.report_at(self.now_us()).state is not TaskState.EXITED:
                return Retry(LATER_S, text("Attempt {id} is still running", id=attempt_id))
            return self._memory.drop(attempt_id)

    def close(self) -> None:
        self._memory.close()

    def vanish(self, attempt_id: str) -> Outcome[None]:
        """Lose every trace of an attempt, running or not (a fault)."""
        with self._lock:
            return self._memory.drop(attempt_id)

    def break_device(self, node: str, index: int) -> Outcome[None]:
        """Break a device: attempts that use it are lost, and the node reports it as unhealthy."""

        def uses(attempt: Attempt) -> bool:
            return any(
                task.node == node and any(grant.index == index for grant in task.devices)
                for task in attempt.kept.tasks
            )

        return self._break(node, index, uses, _device_failed(node, index))

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        """Remember that a node is drained, as the scheduler of a real cluster does."""
        with self._lock:
            if reason is None:
                self.drained.pop(node, None)
            else:
                self.drained[node] = reason
        return Done(None)

    def add_errors(self, node: str, index: int, counter: str, amount: float) -> None:
        """Raise an error counter of a device (a fault)."""
        with self._lock:
            self._node_reports = None
            self._machines.add_errors(node, index, counter, amount)

    def break_node(self, node: str) -> Outcome[None]:
        """Break a whole machine: attempts with a task on it are lost."""

        def uses(attempt: Attempt) -> bool:
            return any(task.node == node for task in attempt.kept.tasks)

        return self._break(node, WHOLE_NODE, uses, text("Node {node} failed", node=node))

    def change(
        self, attempt_id: str, alter: Callable[[AttemptTimeline, int], AttemptTimeline]
    ) -> Outcome[None]:
        """Replace the timeline of a running attempt by `alter(timeline, now_us)` (a fault)."""
        with self._lock:
            attempt = self._memory.live.get(attempt_id)
            if attempt is None:
                return Done(None)
            return self._memory.set_timeline(attempt, alter(attempt.timeline, self.now_us()))

    def living(self) -> list[tuple[Kept, AttemptTimeline]]:
        """Return the attempts that have not ended, unaffected by faults, for checks of the center."""
        with self._lock:
            now_us = self.now_us()
            return [(a.kept, a.timeline) for a in self._memory.live.values() if now_us < a.timeline.ends_us]

    def repair(self) -> Outcome[None]:
        """Repair every broken device and node."""
        with self._lock:
            self._node_reports = None
            return self._memory.repair()

    def double_grants(self) -> list[str]:
        """Return the devices that were ever allocated beyond their capacity; empty if the scheduler was correct."""
        with self._lock:
            return list(machines.double_grants(self._memory.attempts.values(), self._machines.traits))

    def _break(self, node: str, index: int, uses: Callable[[Attempt], bool], why: Text) -> Outcome[None]:
        with self._lock:
            self._node_reports = None
            broken = self._memory.break_part(node, index)
            return self._lose(uses, why) if isinstance(broken, Done) else broken

    def _start(
        self, order: AttemptOrder, alter: Callable[[AttemptTimeline], AttemptTimeline]
    ) -> Outcome[AttemptReport]:
        with self._lock:
            now_us = self.now_us()
            attempt = self._memory.attempts.get(order.attempt_id)
            if attempt is None:
                refused = self._refusal(order)
                if refused is not None:
                    return refused
                timeline = alter(attempt_timeline.plan(order, self.random, self._habits, now_us, self._scale))
                if is_open(order):
                    timeline = attempt_timeline.hold(timeline)
                added = self._memory.add(attempt_timeline.keep(order), timeline)
                if not isinstance(added, Done):
                    return added
                self._admit(now_us)
                attempt = self._memory.attempts[order.attempt_id]
            report = attempt.report_at(now_us)
        return self._memory.durable(report)

    def _refusal(self, order: AttemptOrder) -> Refused | Retry | None:
        if order.attempt_id in self._memory.withdrawn:
            return Refused("stopped", text("Attempt {id} was stopped before it started", id=order.attempt_id))
        refused = orders.refusal(order, self._machines.by_name, PLACEMENTS)
        if refused is not None:
            return refused
        broken = self._memory.broken
        for task in (task for task in order.tasks if task.node):
            if (task.node, WHOLE_NODE) in broken or not self._machines.by_name[task.node].healthy:
                return Retry(LATER_S, text("Node {node} failed", node=task.node))
            for grant in task.devices:
                if (task.node, grant.index) in broken:
                    return Retry(LATER_S, _device_failed(task.node, grant.index))
        return None

    def _lose(self, hit: Callable[[Attempt], bool], why: Text) -> Outcome[None]:
        now_us = self.now_us()
        for attempt in [attempt for attempt in self._memory.live.values() if hit(attempt)]:
            changed = self._memory.set_timeline(attempt, attempt_timeline.lose(attempt.timeline, now_us, why))
            if not isinstance(changed, Done):
                return changed
        return self._memory.durable(None)


def _unknown_attempt(attempt_id: str) -> Refused:
    return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=attempt_id))


def _device_failed(node: str, index: int) -> Text:
    return text("Device {index} of node {node} failed", index=index, node=node)
