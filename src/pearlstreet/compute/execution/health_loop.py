"""The loop that drains nodes with failing devices, takes them back, and tells engines which nodes are drained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Refused
from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.lifecycle import NODES
from pearlstreet.compute.hardware.burn_in import Measured, find_failures, hardware_group
from pearlstreet.compute.hardware.dcgm import read_counters, with_dcgm
from pearlstreet.compute.hardware.health_rules import (
    Action,
    CounterHistory,
    HealthPolicy,
    Level,
    NodeStanding,
    add_sample,
    burn_in_finding,
    decide,
    find_problems,
    forgive,
)
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.pool.burn_in_records import BurnIn, add_burn_in, newest_burn_ins, open_nodes
from pearlstreet.compute.pool.health_records import (
    RULES_ACTOR,
    UNKNOWN,
    NodeHealth,
    apply_action,
    read_health,
    save_health,
    tell,
)
from pearlstreet.compute.pool.inventory import Node, all_nodes
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

INTERVAL_S = 15.0
ELAPSED_MAX_S = 2 * INTERVAL_S
"""Longest time between two samples that counts as throttled; a longer gap means that the server did not run."""
FETCHES_AT_ONCE = 16
log = structlog.get_logger("health")

Fetch = Callable[[str], str | None]
"""A function that returns the text of a URL; None if it cannot be had."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Rules in force, and where the counters of dcgm-exporter are."""

    policy: HealthPolicy = field(default_factory=HealthPolicy)
    dcgm_url: str = ""
    """URL of dcgm-exporter with `{node}` for the node's name; empty: there is none."""
    burn_in_org: str = ""
    """Organisation in which burn-ins run; empty: nodes that rules drained get none."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What a cycle decided about a node."""

    node: str
    before: NodeHealth
    fresh: NodeHealth
    action: Action
    adds_check: bool
    """Whether a burn-in is requested if the node is drained."""


@dataclass
class HealthMonitor:
    """Samples counters and applies the rules; one object for each server."""

    engines: Mapping[str, Engine]
    settings: HealthSettings = field(default_factory=HealthSettings)
    fetch: Fetch = lambda url: None
    sampled_us: int = 0
    _refused: set[tuple[str, str | None]] = field(default_factory=set)
    """Drains that an engine refused, which are not repeated by this server."""

    def cycle(self, store: Store) -> bool:
        """Run one cycle; returns False, since nothing is due at once."""
        now_us = store.clock.now_us()
        elapsed_s = (now_us - self.sampled_us) / US_PER_S if self.sampled_us else 0.0
        self.sampled_us = now_us
        reports = self._read_reports()
        nodes, kept, checks = store.read(lambda tx: (all_nodes(tx), read_health(tx), newest_burn_ins(tx)))
        by_name = {node.report.name: node for node in nodes}
        failures = _find_failures(nodes, kept, checks)
        changes: list[_Change] = []
        for report in reports:
            node, health = by_name.get(report.name), kept.get(report.name, UNKNOWN)
            if node is None or not node.present:
                continue
            history = add_sample(health.history, report.devices, now_us, min(elapsed_s, ELAPSED_MAX_S))
            check = checks.get(report.name)
            checked_us = (check.ended_us if check is not None else None) or 0
            change = self._judge(node, health, history, failures.get(report.name), checked_us, now_us)
            changes += [change] if change is not None else []
        if changes:  # one transaction: 256 of them took 3.7 s
            store.write(lambda tx: _write_changes(tx, changes))
        self._tell_engines(store)
        return False

    def _read_reports(self) -> list[NodeReport]:
        """Return the present reports of all engines' nodes, with the counters of dcgm-exporter where there is one."""
        found: list[NodeReport] = []
        for engine in self.engines.values():
            seen = engine.nodes()
            found += seen.value if isinstance(seen, Done) else ()
        if not self.settings.dcgm_url or not found:
            return found
        with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="dcgm") as pool:
            return list(pool.map(self._with_dcgm, found))

    def _with_dcgm(self, report: NodeReport) -> NodeReport:
        host = report.name.rpartition(":")[2]
        exposition = self.fetch(self.settings.dcgm_url.replace("{node}", host))
        return with_dcgm(report, read_counters(exposition)) if exposition else report

    def _judge(
        self,
        node: Node,
        health: NodeHealth,
        history: CounterHistory,
        failure: Text | None,
        checked_us: int,
        now_us: int,
    ) -> _Change | None:
        policy = self.settings.policy
        findings = find_problems(history, policy, now_us)
        if failure is not None:
            findings = (burn_in_finding(failure), *findings)
        by_rules = health.drained_us is not None and node.drained
        standing = NodeStanding(
            node.drained,
            by_rules,
            health.automatic,
            checked_us=0 if failure is not None else checked_us,
            has_failed_check=failure is not None,
            drained_us=health.drained_us or 0,
        )
        action = decide(standing, findings, history, policy, now_us)
        level: Level = findings[0].level if findings else "ok"
        fresh = replace(
            health,
            level=level,
            findings=findings,
            history=history,
            drained_us=health.drained_us if by_rules else None,
        )
        if action == "none" and fresh == health:
            return None
        adds_check = bool(self.settings.burn_in_org) and failure is None
        return _Change(node.report.name, health, fresh, action, adds_check)

    def _tell_engines(self, store: Store) -> None:
        """Tell each engine of drains that it does not know, and of nodes that are used again."""
        nodes, kept, checked = store.read(lambda tx: (all_nodes(tx), read_health(tx), open_nodes(tx)))
        for node in nodes:
            name, health = node.report.name, kept.get(node.report.name, UNKNOWN)
            wanted = (node.drain_reason or "drained by an operator")[:500] if node.drained else None
            if health.drained_us is not None and name in checked:
                wanted = None  # a scheduler such as Slurm would not start the burn-in on a drained node
            engine = self.engines.get(node.engine)
            if not node.present or engine is None or wanted == health.engine_told:
                continue
            if (name, wanted) in self._refused:
                continue
            answer = engine.set_drain(name, wanted)
            if isinstance(answer, Refused):
                self._refused.add((name, wanted))
                log.warning("engine cannot drain the node", node=name, reason=str(answer.reason))
            if isinstance(answer, Done):
                store.write(lambda tx, name=name, wanted=wanted: _note_told(tx, name, wanted))  # type: ignore[misc]


def _write_changes(tx: Tx, changes: Sequence[_Change]) -> None:
    """Write what a cycle decided, but for nodes about which an operator decided meanwhile; the next cycle sees those."""
    kept = read_health(tx)
    for change in changes:
        if kept.get(change.node, UNKNOWN) == change.before:
            save_health(tx, change.node, _act(tx, change))


def _act(tx: Tx, change: _Change) -> NodeHealth:
    """Drain a node, take it back, or warn of it, as decided; return its health afterwards."""
    name, before, fresh = change.node, change.before, change.fresh
    if change.action == "drain" and apply_action(tx, name, "drain", fresh, drained_us=tx.now_us):
        log.warning("node drained", node=name, reason=str(fresh.findings[0].words))
        if change.adds_check:
            add_burn_in(tx, name, RULES_ACTOR)
        return replace(fresh, drained_us=tx.now_us)
    if change.action == "take_back" and apply_action(
        tx, name, "take_back", fresh, drained_us=before.drained_us or 0
    ):
        log.info("node taken back", node=name)
        forgiven = forgive(fresh.history, tx.now_us)
        return replace(fresh, level="ok", findings=(), history=forgiven, drained_us=None)
    if change.action == "none" and fresh.level != "ok" and before.level == "ok":
        tell(tx, "node.warning", name, fresh.findings[0].words)
    return fresh


def _find_failures(
    nodes: Sequence[Node], kept: Mapping[str, NodeHealth], checks: Mapping[str, BurnIn]
) -> dict[str, Text]:
    """Return why nodes failed their newest burn-in, leaving out what operators forgave."""
    measured = []
    for node in nodes:
        check = checks.get(node.report.name)
        if check is not None and check.result is not None and node.present:
            measured.append(Measured(node.report.name, hardware_group(node.report), check.result))
    failures = find_failures(measured)
    return {
        name: words
        for name, words in failures.items()
        if (checks[name].ended_us or 0) >= kept.get(name, UNKNOWN).history.forgiven_us
    }


def _note_told(tx: Tx, name: str, wanted: str | None) -> None:
    save_health(tx, name, replace(read_health(tx).get(name, UNKNOWN), engine_told=wanted))


def health_loop(engines: Mapping[str, Engine], settings: HealthSettings, fetch: Fetch) -> Loop:
    """Return the loop that watches the health of nodes."""
    monitor = HealthMonitor(engines, settings, fetch)
    return CycleLoop(name="health", cycle=monitor.cycle, hints=(NODES,), interval_s=INTERVAL_S, rest=5.0)
