"""Invariants checked after every commit and every step. The checker reads the database itself and only new rows.

It shares no code with the product except the state tables.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.simulated.attempt_timeline import report
from pearlstreet.compute.execution.model import ATTEMPT_STATES, LIVE_ATTEMPT
from pearlstreet.compute.jobs.model import JOB, JOB_STATES
from pearlstreet.sim.charge_rules import ChargeRules
from pearlstreet.sim.contracts import SimulatedWorld
from pearlstreet.sim.promises import must
from pearlstreet.sim.start_rules import StartRules

FULL_BP = 10_000
MOVES = {
    "job": {(str(state), str(event)): str(after) for (state, event), after in JOB_STATES.moves.items()},
    "att": {(str(state), str(event)): str(after) for (state, event), after in ATTEMPT_STATES.moves.items()},
}
TERMINAL = frozenset(str(state) for state in JOB_STATES.terminal)

CLOCK_LEAD_US = 1
"""Microseconds by which rounding may put a server's clock ahead of the machines'; a span may end that much after an attempt."""


@dataclass(frozen=True, slots=True)
class Live:
    """A live attempt and the resources that it holds."""

    owner_kind: str
    job_id: str
    """Id of its owner: a job or, for a build, a preparation."""
    array_id: str | None
    array_max: int | None
    org_id: str
    card_bp: int
    cpu_milli: int
    tasks: tuple[tuple[str, int, int], ...]
    """Tasks as (node, cpu_milli, memory_mib)."""
    has_devices: bool

    def takes(self, resource: str) -> float:
        """Return the amount that counts against a quota on `cards` or `cpus`."""
        return self.card_bp / FULL_BP if resource == "cards" else self.cpu_milli / 1000


class Checker:
    """Checks the invariants of one world."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._raw = world.memory.raw
        self._changes = -1
        self._event = self._span = self._tx = 0
        self._charges = ChargeRules(self._raw)
        self.starts = StartRules(world)
        self.states: dict[str, str] = {}
        self._promised: set[str] = set()
        self._live: dict[str, Live] = {}
        self._spans: dict[int, tuple[int, int]] = {}
        self._accounts: dict[str, int] = defaultdict(int)
        self._held: dict[str, int] = {}
        totals: dict[str, tuple[int, int]] = {}
        for node in world.nodes:
            totals[node.name] = (int(node.cpus * 1000), int(node.memory_gib * 1024))
        self._nodes = totals
        self._device_mib = {
            (node.name, device.index): int(device.memory_gib * 1024)
            for node in world.nodes
            for device in node.devices
        }

    def promised_job(self, job_id: str, body: Mapping[str, object]) -> None:
        """Check that an acknowledged job exists, and record that it must stay as `body` says."""
        must(self._one("SELECT id FROM jobs WHERE id = ?", job_id), "what was acknowledged is there", job_id)
        self._promised.add(job_id)
        self.starts.acknowledged(job_id, body)

    def after_commit(self, who: str) -> None:
        """Check the changes of one transaction by the server `who`."""
        if self._raw.total_changes == self._changes:
            return
        self._changes = self._raw.total_changes
        placed = self._events(who)
        self._devices()
        if placed:
            self._quotas(placed)
            self._places(placed)
        self._books()
        self._use()

    def after_step(self) -> None:
        """Check the machines and the small tables."""
        self._machines()
        for job_id, state in self._rows("SELECT id, state FROM jobs"):
            known = self.states.get(job_id, "queued")
            must(
                known == state,
                "a state changes by a noted move",
                f"{job_id} is {state}, its moves end at {known}",
            )
        self._requests()
        names = self._rows("SELECT name FROM jobs WHERE array_id IS NULL GROUP BY name HAVING count(*) > 1")
        must(not names, "a repeated submit is one job", names)
        given_up = self._rows("SELECT loop, row_id, last_error FROM loop_failures WHERE quarantined")
        must(not given_up, "no row is given up", given_up)

    def _requests(self) -> None:
        """Check that each queued job and wanted build has one row in the table of waiting requests, and nothing else has one."""
        wrong = self._rows(
            "SELECT j.id, j.state, w.id FROM jobs j LEFT JOIN waiting w ON w.id = j.id"
            " WHERE (CASE WHEN j.array_size IS NULL THEN j.state = 'queued'"
            " ELSE j.state NOT IN ('succeeded', 'failed', 'cancelled') END) != (w.id IS NOT NULL) LIMIT 3"
        )
        wrong += self._rows(
            "SELECT p.id, p.state, w.id FROM preparations p LEFT JOIN waiting w ON w.id = p.id"
            " WHERE (p.state = 'wanted') != (w.id IS NOT NULL) LIMIT 3"
        )
        wrong += self._rows(
            "SELECT id, owner_kind, id FROM waiting WHERE id NOT IN (SELECT id FROM jobs)"
            " AND id NOT IN (SELECT id FROM preparations) LIMIT 3"
        )
        must(not wrong, "what is queued has one waiting request, and only that", wrong)
        spanning = self._rows(
            "SELECT attempt_id FROM allocations JOIN nodes ON nodes.name = allocations.node"
            " GROUP BY attempt_id HAVING count(DISTINCT nodes.engine) > 1"
        )
        must(not spanning, "no gang spans engines", spanning)

    def _events(self, who: str) -> list[str]:
        """Check new state transitions against the state tables, and return the ids of attempts that were placed."""
        query = (
            "SELECT seq, entity_id, from_state, to_state, event FROM state_events WHERE seq > ? ORDER BY seq"
        )
        placed = []
        for seq, entity, before, after, event in self._rows(query, self._event):
            self._event = seq
            kind = entity.partition("_")[0]
            known = self.states.get(entity, "queued" if kind == "job" and event != "submit" else None)
            if kind not in MOVES:
                must(known == before, "moves join", f"{entity}: {event} from {before}, but it was {known}")
                self.states[entity] = after
                continue
            must(known == before, "moves join", f"{entity}: {event} from {before}, but it was {known}")
            must(known not in TERMINAL, "what has ended stays ended", f"{entity}: {event} from {before}")
            if before is not None and event != "elements":
                legal = MOVES[kind].get((before, event)) == after
                must(legal, "moves are in the state table", f"{entity}: {event} from {before} to {after}")
            self.states[entity] = after
            self._world.note(who, f"{entity} {event}: {before} → {after}")
            if kind == "att":
                if event == "place":
                    placed.append(entity)
                    self._live[entity] = live = self._attempt(entity)
                    nodes = [node for node, _, _ in live.tasks]
                    planned = live.owner_kind == JOB
                    self.starts.placed(who, live.array_id or live.job_id, entity, nodes, planned=planned)
                elif after not in LIVE_ATTEMPT:
                    self._live.pop(entity, None)
        return placed

    def _attempt(self, attempt_id: str) -> Live:
        query = (
            "SELECT a.owner_id, a.org_id, a.placement, a.usage, j.array_id, j.array_max_running, coalesce(j.ask, p.ask),"
            " a.owner_kind"
            " FROM attempts a LEFT JOIN jobs j ON j.id = a.owner_id LEFT JOIN jobs p ON p.id = j.array_id WHERE a.id = ?"
        )
        row: Any = self._one(query, attempt_id)
        tasks, usage = json.loads(row[2])["tasks"], json.loads(row[3])
        ask = json.loads(row[6] or "{}") or {"tasks": len(tasks)}
        low, high = (
            (ask["min_tasks"], ask["max_tasks"]) if ask.get("max_tasks") else (ask["tasks"], ask["tasks"])
        )
        must(low <= len(tasks) <= high, "a job has as many tasks as it can run with", attempt_id)
        return Live(
            row[7],
            row[0],
            row[4],
            row[5],
            row[1],
            usage["card_bp"],
            usage["cpu_milli"],
            tuple((task["node"], task["cpu_milli"], task["memory_mib"]) for task in tasks),
            any(task["devices"] for task in tasks),
        )

    def _devices(self) -> None:
        """Check that no device or node is allocated beyond its capacity, and that only live attempts hold devices."""
        query = (
            "SELECT node, device, sum(compute_share), sum(memory_share), count(whole), count(*)"
            " FROM allocations GROUP BY node, device"
        )
        for node, device, compute, memory, whole, count in self._rows(query):
            fits = (
                compute <= FULL_BP and memory <= self._device_mib[node, device] and (not whole or count == 1)
            )
            must(
                fits,
                "no device is given twice",
                f"{node} {device}: {compute} bp, {memory} MiB, {count} times",
            )
        holding = {row[0] for row in self._rows("SELECT DISTINCT attempt_id FROM allocations")}
        living = {attempt for attempt, live in self._live.items() if live.has_devices}
        must(holding == living, "devices are held by what lives", sorted(holding ^ living))
        jobs = [live.job_id for live in self._live.values()]
        must(len(jobs) == len(set(jobs)), "a job has one live attempt", sorted(jobs))
        cpu: dict[str, int] = defaultdict(int)
        memory_mib: dict[str, int] = defaultdict(int)
        for live in self._live.values():
            for node, cpu_milli, mib in live.tasks:
                cpu[node] += cpu_milli
                memory_mib[node] += mib
        for node in cpu:
            has_cpu, has_mib = self._nodes[node]
            must(cpu[node] <= has_cpu and memory_mib[node] <= has_mib, "a node gives what it has", node)

    def _quotas(self, placed: list[str]) -> None:
        """Check that the attempts just placed keep the quotas of the resources that they use, and array limits."""
        query = "SELECT resource, maximum FROM quotas WHERE org_id = ? AND project_id = '' AND maximum IS NOT NULL"
        # Builds are limited in number, not by quotas.
        jobs = [live for live in self._live.values() if live.owner_kind == JOB]
        fresh = [self._live[attempt] for attempt in placed if attempt in self._live]
        fresh = [live for live in fresh if live.owner_kind == JOB]
        for org_id in sorted({live.org_id for live in fresh}):
            of_org = [live for live in jobs if live.org_id == org_id]
            for resource, maximum in self._rows(query, org_id):
                used = sum(live.takes(resource) for live in of_org)
                takes = any(live.takes(resource) for live in fresh if live.org_id == org_id)
                within = used <= maximum + 1e-6 or not takes
                must(within, "quotas are not exceeded", f"{org_id}: {used} {resource} of {maximum}")
        for array_id in sorted({live.array_id for live in fresh if live.array_id is not None}):
            elements = [live for live in self._live.values() if live.array_id == array_id]
            limit = elements[0].array_max
            must(
                limit is None or len(elements) <= limit,
                "an array runs no more elements at once than it may",
                f"{array_id}: {len(elements)}",
            )

    def _places(self, placed: list[str]) -> None:
        """Check that no attempt was just placed on a node that is absent, unhealthy or drained."""
        query = "SELECT name FROM nodes WHERE present AND healthy AND NOT drained"
        fit = {name for (name,) in self._rows(query)}
        for attempt in placed:
            used = {node for node, _, _ in self._live[attempt].tasks} if attempt in self._live else set()
            must(used <= fit, "work is placed where it may run", f"{attempt}: {sorted(used - fit)}")

    def _books(self) -> None:
        """Check postings, balances, charges and holds."""
        sums: dict[int, int] = defaultdict(int)
        query = "SELECT tx_seq, account_id, amount_micro FROM ledger_entries WHERE tx_seq > ?"
        for seq, account, amount in self._rows(query, self._tx):
            sums[seq] += amount
            self._accounts[account] += amount
        for seq, total in sums.items():
            must(total == 0, "postings sum to zero", f"transaction {seq}: {total}")
            self._tx = max(self._tx, seq)
        for account, balance in self._rows("SELECT id, balance_micro FROM ledger_accounts"):
            must(balance == self._accounts[account], "a balance is its postings", account)
        self._charges.check()
        self._funds()

    def _funds(self) -> None:
        query = (
            "SELECT org_id, sum(amount_micro),"
            " sum(CASE WHEN settled_us IS NULL THEN amount_micro - used_micro ELSE 0 END)"
            " FROM ledger_holds GROUP BY org_id"
        )
        holds = {row[0]: (row[1], row[2]) for row in self._rows(query)}
        still_open = {
            row[0] for row in self._rows("SELECT reference FROM ledger_holds WHERE settled_us IS NULL")
        }
        stale = sorted(still_open - self._live.keys())
        must(not stale, "holds of what has ended are settled", stale)
        query = "SELECT org_id, balance_micro, held_micro, credit_limit_micro FROM ledger_funds"
        for org_id, balance, held, limit in self._rows(query):
            ever, still = holds.get(org_id, (0, 0))
            must(held == still, "what is held is the open holds", f"{org_id}: {held}, {still}")
            own = -(self._accounts[f"wallet/{org_id}"] + self._accounts[f"receivable/{org_id}"])
            must(balance == own, "what an organisation has is its accounts", f"{org_id}: {balance}, {own}")
            more = ever > self._held.get(org_id, 0)
            must(
                not more or balance + limit >= held,
                "a hold is paid for",
                f"{org_id}: {balance} + {limit} < {held}",
            )
            self._held[org_id] = ever

    def _use(self) -> None:
        """Check that metered spans of a stream follow each other without gap and lie within the attempt's run."""
        query = (
            "SELECT s.id, s.stream_id, s.sequence, s.start_us, s.end_us, t.external_id FROM ledger_spans s"
            " JOIN ledger_streams t ON t.id = s.stream_id WHERE s.id > ? ORDER BY s.id"
        )
        for span, stream, sequence, start_us, end_us, attempt in self._rows(query, self._span):
            self._span = span
            last, until_us = self._spans.get(stream, (-1, start_us))
            joined = sequence == last + 1 and start_us == until_us and end_us > start_us
            must(joined, "spans neither overlap nor gap", f"stream {stream}: {sequence} after {last}")
            self._spans[stream] = (sequence, end_us)
            self._really_ran(attempt, start_us, end_us)

    def _really_ran(self, attempt: str, start_us: int, end_us: int) -> None:
        """Check a metered span against the machines, unless they forgot the attempt or a fault falsified its reports."""
        truth = self._world.engine.cluster.probe(attempt)
        in_flight = self._world.in_flight
        if self._world.time.was_set_back or attempt in in_flight.misreported | in_flight.forgotten:
            return
        if not isinstance(truth, Done) or truth.value is None:
            return
        began_us, ended_us = truth.value.started_us, truth.value.ended_us
        over = ended_us is not None and end_us > ended_us + CLOCK_LEAD_US
        ran = began_us is not None and began_us <= start_us and not over
        must(ran, "only what ran is metered", f"{attempt}: {start_us}–{end_us}, it ran {began_us}–{ended_us}")

    def _machines(self) -> None:
        """Check on the machines that a job runs at most once and that no device runs more than its capacity."""
        jobs: dict[str, str] = {}
        compute: dict[tuple[str, int], float] = defaultdict(float)
        memory: dict[tuple[str, int], float] = defaultdict(float)
        cluster = self._world.engine.cluster
        for kept, timeline in cluster.living():
            job = self._world.in_flight.jobs.get(kept.attempt_id)
            if job is None:
                continue
            self.starts.running(report(kept, timeline, cluster.now_us()), self.states.get(kept.attempt_id))
            must(
                job not in jobs, "a job runs once at a time", f"{job}: {kept.attempt_id} and {jobs.get(job)}"
            )
            jobs[job] = kept.attempt_id
            for task in kept.tasks:
                for grant in task.devices:
                    place = (task.node, grant.index)
                    whole = grant.memory_gib is None
                    compute[place] += 100 if whole else grant.compute_percent or 0.0
                    memory[place] += self._device_mib[place] / 1024 if whole else grant.memory_gib or 0.0
        for place, percent in compute.items():
            fits = percent <= 100.001 and memory[place] <= self._device_mib[place] / 1024 + 0.001
            must(fits, "no device runs more than it can", f"{place}: {percent} %, {memory[place]} GiB")

    def _rows(self, query: str, *values: Any) -> list[Any]:
        rows: list[object] = self._raw.execute(query, values).fetchall()
        return rows

    def _one(self, query: str, *values: object) -> object:
        return self._raw.execute(query, values).fetchone()
