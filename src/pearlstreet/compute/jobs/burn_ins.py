"""Burn-ins of nodes: an owner of attempts, each of which measures one idle node whole, also one that is drained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.money import Money
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, Limits, TaskOrder
from pearlstreet.compute.execution.lifecycle import place_attempt
from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.new_attempt import NewAttempt
from pearlstreet.compute.execution.owners import Kept, Owner
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.hardware.bench import burn_in_script
from pearlstreet.compute.hardware.burn_in import RESULT_BYTES_MAX, RESULT_FILE, BurnInResult, read_result
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool.burn_in_records import BURN_INS, DONE, LOST, RUNNING, WAITING, end_burn_in
from pearlstreet.compute.pool.inventory import Node, nodes_named
from pearlstreet.compute.pool.tables import burn_ins
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import find_project

BURN_IN = "burn_in"
"""Kind of a burn-in as an owner of attempts."""
LIMIT_S = 900.0
TURN_S = 5.0
"""Seconds between two looks at a node that is not idle yet."""
ATTEMPTS_MAX = 3
FULL_BP = 10_000
UNBILLED = text("Burn-ins of nodes are not billed")
_Wish = tuple[Row, Node | None, bool]
"""Row of a burn-in, its node, and whether nothing runs there."""


def burn_in_loop(runtime: Runtime) -> Loop:
    """Return the loop that places requested burn-ins on nodes that are idle."""
    return RowLoop[_Wish, _Wish, None](
        name="burn_in",
        table=burn_ins,
        conditions=(burn_ins.c.state == WAITING,),
        account=burn_ins.c.node,
        load=_load,
        decide=lambda wish, now_us: wish,
        act=lambda wish: None,
        apply=partial(_apply, runtime),
        hints=(BURN_INS,),
        interval_s=2.0,
    )


def _load(tx: Tx, ids: Sequence[str]) -> Mapping[str, _Wish]:
    rows = tx.rows(sa.select(burn_ins).where(burn_ins.c.id.in_(ids)))
    return {row["id"]: (row, *_find_node(tx, row["node"])) for row in rows}


def _find_node(tx: Tx, name: str) -> tuple[Node | None, bool]:
    found = nodes_named(tx, [name])
    placed = tx.rows(sa.select(attempts.c.placement).where(attempts.c.state.in_(LIVE_ATTEMPT)))
    is_idle = not any(task["node"] == name for row in placed for task in row["placement"]["tasks"])
    return (found[0] if found else None), is_idle


def _apply(
    runtime: Runtime, tx: Tx, row_id: str, token: str, wish: _Wish, decision: _Wish, acted: None
) -> int | None:
    row = tx.first(sa.select(burn_ins).where(burn_ins.c.id == row_id, burn_ins.c.state == WAITING))
    if row is None:
        return None
    node, is_idle = _find_node(tx, row["node"])
    if node is None or node.engine not in runtime.engines:
        end_burn_in(tx, row_id, LOST, message=text("There is no node {name}", name=row["node"]))
        return None
    if not runtime.engines[node.engine].capabilities().runs_code:
        message = text("The engine {engine} does not run code", engine=node.engine)
        end_burn_in(tx, row_id, LOST, message=message)
        return None
    try:
        project = find_project(tx, SYSTEM, runtime.settings.burn_in_org)
    except NotFound as error:
        end_burn_in(tx, row_id, LOST, message=error.message)
        return None
    if not is_idle or not node.present or not node.report.healthy:
        return tx.now_us + int(TURN_S * US_PER_S)
    place_attempt(tx, _attempt(tx, row, node, project.org_id, project.id))
    change = {"state": RUNNING, "attempts": row["attempts"] + 1}
    tx.execute(sa.update(burn_ins).where(burn_ins.c.id == row_id).values(**change))
    return None


def _attempt(tx: Tx, row: Row, node: Node, org_id: str, project_id: str) -> NewAttempt:
    report = node.report
    devices = [
        {
            "index": device.index,
            "memory_mib": int(device.memory_gib * 1024),
            "compute_bp": FULL_BP,
            "whole": True,
        }
        for device in report.devices
        if device.healthy
    ]
    cpu_milli, memory_mib = int(report.cpus * 1000), int(report.memory_gib * 1024)
    task = {
        "rank": 0,
        "node": report.name,
        "cpu_milli": cpu_milli,
        "memory_mib": memory_mib,
        "devices": devices,
    }
    return NewAttempt(
        id=row["attempt_id"],
        owner_kind=BURN_IN,
        owner_id=row["id"],
        org_id=org_id,
        project_id=project_id,
        number=row["attempts"] + 1,
        engine=node.engine,
        placement={"tasks": [task], "model": ""},
        usage=AttemptUsage(
            model="",
            card_bp=0,
            cpu_milli=cpu_milli,
            memory_mib=memory_mib,
            pflops_per_card=None,
            pflops_basis="unknown",
        ),
        price_version_id=current_prices(tx).id,
        rate=Money(0),
        hold_id=None,
        time_limit_s=LIMIT_S,
        covered_s=LIMIT_S,
        grace_s=Limits().grace_s,
    )


@dataclass(frozen=True, slots=True)
class BurnInOwner(Owner):
    """Measures a node and records the figures; the health rules compare and decide."""

    runtime: Runtime
    kind = BURN_IN

    def order(self, tx: Tx, attempt: Row) -> AttemptOrder:
        (placed,) = attempt["placement"]["tasks"]
        task = TaskOrder(
            rank=0,
            node=placed["node"],
            cpus=placed["cpu_milli"] / 1000,
            memory_gib=placed["memory_mib"] / 1024,
            devices=tuple(DeviceGrant(device["index"]) for device in placed["devices"]),
        )
        script = Path(burn_in_script.__file__).read_text(encoding="utf-8")
        return AttemptOrder(
            attempt_id=attempt["id"],
            job_id=attempt["owner_id"],
            tenant_id=attempt["org_id"],
            command=("python3", "-c", script),
            tasks=(task,),
            limits=Limits(time_s=LIMIT_S, disk_gib=2.0),
            minimum_isolation=self.runtime.settings.minimum_isolation,
            simulate_s=30.0,
        )

    def why_unbilled(self, attempt: Row) -> Text | None:
        return UNBILLED

    def keep_outputs(self, attempt: Row, loaded: Row) -> BurnInResult | None:
        """Return what the node wrote; None if there is nothing that can be read."""
        engine = self.runtime.engines.get(attempt["engine"])
        if engine is None:
            return None
        answer = engine.read_output(attempt["id"], RESULT_FILE, offset=0, limit=RESULT_BYTES_MAX)
        try:
            return read_result(answer.value) if isinstance(answer, Done) else None
        except (ValueError, json.JSONDecodeError):
            return None

    def note_outputs(self, tx: Tx, attempt: Row, loaded: Row, stored: BurnInResult | None) -> Kept:
        if stored is not None and _is_current(tx, attempt):
            end_burn_in(tx, attempt["owner_id"], DONE, result=stored)
        return Kept()

    def on_ended(self, tx: Tx, attempt: Row, message: Text | None, *, outputs_refused: bool) -> None:
        """Run it again if the node left no result, a few times."""
        if not _is_current(tx, attempt):
            return
        tries = tx.scalar(sa.select(burn_ins.c.attempts).where(burn_ins.c.id == attempt["owner_id"])) or 0
        if tries >= ATTEMPTS_MAX:
            reason = message or (from_json(attempt["message"]) if attempt.get("message") else None)
            end_burn_in(
                tx,
                attempt["owner_id"],
                LOST,
                message=text("The burn-in left no result: {reason}", reason=reason or attempt["end_reason"]),
            )
            return
        change = {
            "state": WAITING,
            "attempt_id": tx.new_id("att"),
            "due_us": tx.now_us + int(TURN_S * US_PER_S),
        }
        tx.execute(sa.update(burn_ins).where(burn_ins.c.id == attempt["owner_id"]).values(**change))


def _is_current(tx: Tx, attempt: Row) -> bool:
    """Return whether the burn-in runs and this is its attempt."""
    query = sa.select(burn_ins.c.id).where(
        burn_ins.c.id == attempt["owner_id"],
        burn_ins.c.attempt_id == attempt["id"],
        burn_ins.c.state == RUNNING,
    )
    return tx.first(query) is not None


def refuse_without_org(runtime: Runtime) -> None:
    """Raise Conflict if the settings name no organisation in which burn-ins run."""
    if not runtime.settings.burn_in_org:
        raise Conflict(
            text("Burn-ins need an organisation to run in"),
            hint=text('Set org = "NAME" in [health] of pearl.toml; they are not billed'),
        )
