"""Commands and queries on maintenance windows and reservations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.queueing.tables import windows
from pearlstreet.compute.queueing.windows.model import (
    WINDOWS,
    HeldNode,
    PoolWindow,
    WindowKind,
    WindowWish,
    check_wish,
    from_row,
    held_json,
    pick_cards,
)
from pearlstreet.compute.queueing.windows.rows import cards_at
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.workload.spec.suggest import nearest

READ, WRITE = "scheduling:read", "scheduling:write"


def make_window(store: Store, actor: Actor, wish: WindowWish) -> PoolWindow:
    """Create a maintenance window or a reservation. Raises InvalidInput, NotFound (organisation), Forbidden."""
    actor.require(WRITE)

    def command(tx: Tx) -> PoolWindow:
        check_wish(wish, tx.now_us)
        from_us = max(wish.from_us or 0, tx.now_us)
        org = find_org(tx, actor, wish.org, "orgs:read") if wish.org is not None else None
        made = PoolWindow(
            id=tx.new_id("win"),
            kind=wish.kind,
            held=_held(tx, replace(wish, from_us=from_us)),
            model=wish.model,
            cards=wish.cards,
            org_id=org.id if org is not None else None,
            from_us=from_us,
            until_us=wish.until_us,
            reason=wish.reason.strip(),
            made_by=actor.label,
            made_us=tx.now_us,
            ended_us=None,
        )
        columns = {column.name: getattr(made, column.name) for column in windows.c if column.name != "nodes"}
        tx.execute(sa.insert(windows).values(**columns, nodes=held_json(made.held)))
        details = {
            "nodes": [held.node for held in made.held][:50],
            "engine": wish.engine,
            "model": made.model,
            "cards": made.cards,
            "from_us": made.from_us,
            "until_us": made.until_us,
            "reason": made.reason,
        }
        _note(tx, actor, f"{made.kind.value}.make", made, details)
        return made

    return store.write(command)


def end_window(store: Store, actor: Actor, window_id: str) -> PoolWindow:
    """End a window early, or cancel it before it begins. Raises NotFound, Conflict if it has ended, Forbidden."""
    actor.require(WRITE)

    def command(tx: Tx) -> PoolWindow:
        row = tx.first(sa.select(windows).where(windows.c.id == window_id))
        if row is None:
            raise NotFound(text("There is no window {window}", window=window_id[:80]))
        window = from_row(row)
        if not window.is_open(tx.now_us):
            raise Conflict(text("The window {window} is over already", window=window.id))
        tx.execute(sa.update(windows).where(windows.c.id == window.id).values(ended_us=tx.now_us))
        _note(tx, actor, f"{window.kind.value}.end", window, {"planned_until_us": window.until_us})
        return replace(window, ended_us=tx.now_us)

    return store.write(command)


def list_windows(
    store: Store, actor: Actor, *, over: bool = False, before: str | None = None, limit: int = 100
) -> Sequence[PoolWindow]:
    """Return the windows that have not ended, or (`over`) all, newest first. Raises Forbidden.

    All actors see maintenance; a reservation is visible to operators and to its organisation.
    """
    actor.require(READ)

    def query(tx: Tx) -> Sequence[PoolWindow]:
        wanted = sa.select(windows).order_by(windows.c.id.desc()).limit(limit)
        if not over:
            wanted = wanted.where(windows.c.until_us > tx.now_us, windows.c.ended_us.is_(None))
        if before is not None:
            wanted = wanted.where(windows.c.id < before)
        if not (actor.everything or actor.operator_roles):
            mine = windows.c.org_id.in_(sorted(actor.orgs) if actor.project_id is None else ())
            wanted = wanted.where(sa.or_(windows.c.kind == WindowKind.MAINTENANCE.value, mine))
        return [from_row(row) for row in tx.rows(wanted)]

    return store.read(query)


def _held(tx: Tx, wish: WindowWish) -> tuple[HeldNode, ...]:
    if wish.model is not None and wish.cards is not None:
        return pick_cards(cards_at(tx, wish.from_us or tx.now_us, wish.until_us), wish.model, wish.cards)
    nodes = all_nodes(tx)
    known = {node.report.name for node in nodes}
    problems = []
    for index, name in enumerate(wish.nodes):
        if name not in known:
            close = nearest(name, known)
            hint = text("Did you mean {name}?", name=close) if close is not None else None
            problems.append(
                Problem(f"nodes[{index}]", text("There is no node {name}", name=name[:80]), hint=hint)
            )
    own = [node.report.name for node in nodes if node.engine == wish.engine and node.present]
    if wish.engine is not None and not own:
        engines = sorted({node.engine for node in nodes if node.present})
        hint = text("Engines with nodes: {names}", names=", ".join(engines) or "-")
        problem = text("No engine {name} has nodes", name=wish.engine[:80])
        problems.append(Problem("engine", problem, hint=hint))
    if problems:
        raise InvalidInput(text("The window cannot be set up like this"), problems=problems)
    return tuple(HeldNode(name) for name in dict.fromkeys((*wish.nodes, *own)))


def _note(tx: Tx, actor: Actor, action: str, window: PoolWindow, details: Mapping[str, object]) -> None:
    audit.record(
        tx, actor=actor.label, action=action, target=window.id, org_id=window.org_id, details=details
    )
    tx.hint(PLAN)
    tx.hint(WINDOWS)
