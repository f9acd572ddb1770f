"""Rows of burn-ins: requested, running, finished with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.hardware.burn_in import BurnInResult, result_from_json
from pearlstreet.compute.pool.tables import burn_ins, nodes
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

WAITING, RUNNING, DONE, LOST = "waiting", "running", "done", "lost"
OPEN = (WAITING, RUNNING)
BURN_INS = "burn_ins"
"""Hint topic: a burn-in was requested or ended."""


@dataclass(frozen=True, slots=True)
class BurnIn:
    """A burn-in of a node."""

    id: str
    node: str
    state: str
    """`waiting` for an idle node, `running`, `done` (it has a result) or `lost` (it could not be run)."""
    requested_us: int
    requested_by: str
    ended_us: int | None
    result: BurnInResult | None
    message: Text | None


def request_burn_ins(
    store: Store, actor: Actor, names: Sequence[str], *, all_nodes: bool = False
) -> Sequence[BurnIn]:
    """Request a burn-in of nodes; one that is open already is returned. Raises Forbidden without nodes:write, NotFound."""
    actor.require("nodes:write")

    def command(tx: Tx) -> Sequence[BurnIn]:
        present = {
            row["name"] for row in tx.rows(sa.select(nodes.c.name).where(nodes.c.present == sa.true()))
        }
        wanted = sorted(present) if all_nodes else sorted(set(names))
        for name in wanted:
            if name not in present:
                raise NotFound(
                    text("There is no node {name}", name=name), hint=text("pearl nodes lists them")
                )
        found = [add_burn_in(tx, name, actor.label) for name in wanted]
        audit.record(
            tx, actor=actor.label, action="node.burn_in", target="nodes", details={"nodes": wanted[:100]}
        )
        return found

    return store.write(command)


def add_burn_in(tx: Tx, node: str, requested_by: str) -> BurnIn:
    """Add a request for a node, or return the one that is open."""
    row = tx.first(sa.select(burn_ins).where(burn_ins.c.node == node, burn_ins.c.state.in_(OPEN)))
    if row is None:
        fresh: Row = {
            "id": tx.new_id("burn"),
            "node": node,
            "state": WAITING,
            "requested_us": tx.now_us,
            "requested_by": requested_by[:120],
            "attempt_id": tx.new_id("att"),
            "attempts": 0,
            "ended_us": None,
            "result": None,
            "message": None,
            "due_us": tx.now_us,
        }
        tx.execute(sa.insert(burn_ins).values(**fresh))
        tx.hint(BURN_INS)
        return _burn_in(fresh)
    return _burn_in(row)


def list_burn_ins(
    store: Store, actor: Actor, *, node: str | None = None, limit: int = 200
) -> Sequence[BurnIn]:
    """Return burn-ins, newest first. Raises Forbidden without nodes:read."""
    actor.require("nodes:read")
    query = sa.select(burn_ins).order_by(burn_ins.c.id.desc()).limit(limit)
    if node is not None:
        query = query.where(burn_ins.c.node == node)
    return store.read(lambda tx: [_burn_in(row) for row in tx.rows(query)])


def newest_burn_ins(tx: Tx) -> dict[str, BurnIn]:
    """Return the newest burn-in with a result of each node."""
    newest = sa.select(sa.func.max(burn_ins.c.id)).where(burn_ins.c.state == DONE).group_by(burn_ins.c.node)
    rows = tx.rows(sa.select(burn_ins).where(burn_ins.c.id.in_(newest)))
    return {row["node"]: _burn_in(row) for row in rows}


def open_nodes(tx: Tx) -> frozenset[str]:
    """Return the nodes with an open burn-in."""
    query = sa.select(burn_ins.c.node).where(burn_ins.c.state.in_(OPEN))
    return frozenset(row["node"] for row in tx.rows(query))


def last_requested_us(tx: Tx) -> dict[str, int]:
    """Return the time of each node's newest request."""
    query = sa.select(burn_ins.c.node, sa.func.max(burn_ins.c.requested_us).label("at_us"))
    return {row["node"]: row["at_us"] for row in tx.rows(query.group_by(burn_ins.c.node))}


def end_burn_in(
    tx: Tx, burn_in: str, state: str, *, result: BurnInResult | None = None, message: Text | None = None
) -> None:
    """Record how a burn-in ended."""
    values: dict[str, Any] = {
        "state": state,
        "ended_us": tx.now_us,
        "result": result.to_json() if result is not None else None,
        "message": message.to_json() if message is not None else None,
        "due_us": None,
    }
    tx.execute(sa.update(burn_ins).where(burn_ins.c.id == burn_in).values(**values))
    tx.hint("nodes")


def _burn_in(row: Row) -> BurnIn:
    return BurnIn(
        id=row["id"],
        node=row["node"],
        state=row["state"],
        requested_us=row["requested_us"],
        requested_by=row["requested_by"],
        ended_us=row["ended_us"],
        result=result_from_json(row["result"]) if row["result"] else None,
        message=from_json(row["message"]) if row["message"] else None,
    )
