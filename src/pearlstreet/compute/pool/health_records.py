"""Rows of node health: error history, findings of the rules, and who drained a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.health_rules import (
    Action,
    CounterHistory,
    Finding,
    Level,
    finding_from_json,
    forgive,
    history_from_json,
)
from pearlstreet.compute.pool.tables import node_health, nodes
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

REASON_MAX = 500
RULES_ACTOR = "health rules"
"""Name in the audit log of drains and returns that rules decided."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What the rules know of a node."""

    automatic: bool = True
    """Whether rules may drain the node; an operator can switch that off."""
    level: Level = "ok"
    findings: Sequence[Finding] = ()
    history: CounterHistory = field(default_factory=CounterHistory)
    drained_us: int | None = None
    """Time at which rules drained the node, in µs since 1970; None: they did not."""
    engine_told: str | None = None
    """Reason of a drain that the engine was told of; None: the engine was told of none."""


UNKNOWN = NodeHealth()
"""Health of a node without a row."""


def read_health(tx: Tx) -> dict[str, NodeHealth]:
    """Return the health of nodes that have a row, by name."""
    return {row["node"]: _health_of(row) for row in tx.rows(sa.select(node_health))}


def save_health(tx: Tx, node: str, health: NodeHealth) -> None:
    """Write the row of a node."""
    values = {
        "automatic": health.automatic,
        "level": health.level,
        "findings": [finding.to_json() for finding in health.findings],
        "history": health.history.to_json(),
        "drained_us": health.drained_us,
        "engine_told": health.engine_told,
        "changed_us": tx.now_us,
    }
    changed = tx.execute(sa.update(node_health).where(node_health.c.node == node).values(**values)).rowcount
    if not changed:
        tx.execute(sa.insert(node_health).values(node=node, **values))


def apply_action(tx: Tx, node: str, action: Action, health: NodeHealth, *, drained_us: int) -> bool:
    """Drain a node by the rules or take it back, audited and with a notice. False if somebody else drained or resumed it."""
    if action == "drain":
        reason = str(health.findings[0].words)[:REASON_MAX]
        is_drained, values = False, {"drained": True, "drain_reason": reason}
    else:
        reason, is_drained, values = None, True, {"drained": False, "drain_reason": None}
    changed = tx.execute(
        sa.update(nodes)
        .where(nodes.c.name == node, nodes.c.drained == is_drained)
        .values(**values, changed_us=tx.now_us)
    ).rowcount
    if not changed:
        return False
    name = "node.drain" if action == "drain" else "node.undrain"
    audit.record(tx, actor=RULES_ACTOR, action=name, target=node, details={"reason": reason})
    if action == "drain":
        tell(tx, "node.drained", node, health.findings[0].words)
    else:
        since = to_rfc3339(drained_us)[:16].replace("T", " ")
        outbox.emit(tx, "node.returned", {"node": node, "since": since})
    tx.hint("nodes")
    return True


def tell(tx: Tx, topic: str, node: str, reason: Text) -> None:
    """Emit an event about a node with its reason."""
    outbox.emit(tx, topic, {"node": node, "reason": reason.to_json()})


def release_from_rules(tx: Tx, node: str, *, forgive_errors: bool) -> None:
    """Record that an operator has decided about a node: rules no longer count its drain as theirs.

    `forgive_errors`: what was counted before no longer drains it; new errors do.
    """
    row = tx.first(sa.select(node_health).where(node_health.c.node == node))
    if row is None:
        return
    values: dict[str, object] = {"drained_us": None, "changed_us": tx.now_us}
    if forgive_errors:
        fresh = forgive(history_from_json(row["history"]), tx.now_us)
        values |= {"history": fresh.to_json(), "findings": [], "level": "ok"}
    tx.execute(sa.update(node_health).where(node_health.c.node == node).values(**values))


def set_automatic(store: Store, actor: Actor, node: str, *, automatic: bool) -> bool:
    """Let rules drain a node, or only warn. Raises Forbidden without nodes:write, NotFound."""
    actor.require("nodes:write")

    def command(tx: Tx) -> bool:
        if tx.first(sa.select(nodes.c.name).where(nodes.c.name == node)) is None:
            raise NotFound(text("There is no node {name}", name=node), hint=text("pearl nodes lists them"))
        row = tx.first(sa.select(node_health).where(node_health.c.node == node))
        if row is None:
            save_health(tx, node, NodeHealth(automatic=automatic))
        else:
            tx.execute(
                sa.update(node_health)
                .where(node_health.c.node == node)
                .values(automatic=automatic, changed_us=tx.now_us)
            )
        audit.record(
            tx, actor=actor.label, action="node.health", target=node, details={"automatic": automatic}
        )
        tx.hint("nodes")
        return automatic

    return store.write(command)


def _health_of(row: Row) -> NodeHealth:
    return NodeHealth(
        automatic=row["automatic"],
        level=row["level"],
        findings=tuple(finding_from_json(finding) for finding in row["findings"]),
        history=history_from_json(row["history"]),
        drained_us=row["drained_us"],
        engine_told=row["engine_told"],
    )
