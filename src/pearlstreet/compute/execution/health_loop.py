"""The loop that drains nodes with failing devices, takes them back, and tells engines which nodes are drained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.lifecycle import NODES
from pearlstreet.compute.hardware.dcgm import read_counters, with_dcgm
from pearlstreet.compute.hardware.health_rules import (
    CounterHistory,
    HealthPolicy,
    Level,
    NodeStanding,
    add_sample,
    decide,
    find_problems,
    forgive,
)
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.pool.health_records import (
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
        nodes, kept = store.read(lambda tx: (all_nodes(tx), read_health(tx)))
        by_name = {node.report.name: node for node in nodes}
        for report in reports:
            node, health = by_name.get(report.name), kept.get(report.name, UNKNOWN)
            if node is None or not node.present:
                continue
            history = add_sample(health.history, report.devices, now_us, min(elapsed_s, ELAPSED_MAX_S))
            self._judge(store, node, health, history, now_us)
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
        self, store: Store, node: Node, health: NodeHealth, history: CounterHistory, now_us: int
    ) -> None:
        policy, name = self.settings.policy, node.report.name
        findings = find_problems(history, policy, now_us)
        by_rules = health.drained_us is not None and node.drained
        standing = NodeStanding(node.drained, by_rules, health.automatic, drained_us=health.drained_us or 0)
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
            return
        store.write(lambda tx: self._write(tx, name, health, fresh, action))

    @staticmethod
    def _write(tx: Tx, name: str, before: NodeHealth, fresh: NodeHealth, action: str) -> None:
        if read_health(tx).get(name, UNKNOWN) != before:
            return  # an operator decided meanwhile; the next cycle sees it
        if action == "drain" and apply_action(tx, name, "drain", fresh, drained_us=tx.now_us):
            fresh = replace(fresh, drained_us=tx.now_us)
            log.warning("node drained", node=name, reason=str(fresh.findings[0].words))
        elif action == "take_back" and apply_action(
            tx, name, "take_back", fresh, drained_us=before.drained_us or 0
        ):
            fresh = replace(fresh, level="ok", findings=(), history=forgive(fresh.history), drained_us=None)
            log.info("node taken back", node=name)
        elif fresh.level != "ok" and before.level == "ok":
            tell(tx, "node.warning", name, fresh.findings[0].words)
        save_health(tx, name, fresh)

    def _tell_engines(self, store: Store) -> None:
        """Tell each engine of drains that it does not know, and of nodes that are used again."""
        nodes, kept = store.read(lambda tx: (all_nodes(tx), read_health(tx)))
        for node in nodes:
            name, health = node.report.name, kept.get(node.report.name, UNKNOWN)
            wanted = (node.drain_reason or "drained by an operator")[:500] if node.drained else None
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


def _note_told(tx: Tx, name: str, wanted: str | None) -> None:
    save_health(tx, name, replace(read_health(tx).get(name, UNKNOWN), engine_told=wanted))


def health_loop(engines: Mapping[str, Engine], settings: HealthSettings, fetch: Fetch) -> Loop:
    """Return the loop that watches the health of nodes."""
    monitor = HealthMonitor(engines, settings, fetch)
    return CycleLoop(name="health", cycle=monitor.cycle, hints=(NODES,), interval_s=INTERVAL_S, rest=5.0)
