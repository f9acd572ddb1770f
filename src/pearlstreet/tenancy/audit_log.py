"""Queries over the audit log. Auditors read all of it, owners the entries of their organisations."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.store import audit as chain
from pearlstreet.store.audit import AuditReport
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.row_names import names_of
from pearlstreet.store.tables import audit
from pearlstreet.tenancy.model import Actor, login_of
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.tables import api_keys


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Filter of audit rows. `org` is a slug or id; `action` may end in `*`; times in [`from_us`, `to_us`)."""

    org: str | None = None
    actor: str | None = None
    action: str | None = None
    target: str | None = None
    from_us: int | None = None
    to_us: int | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry of the audit log."""

    seq: int
    at_us: int
    actor: str
    org_id: str | None
    action: str
    target: str
    """Id of the row that was acted on, or a name such as a node's."""
    details: Mapping[str, object]
    hash: str
    target_name: str = ""
    """Present name of the target for people; the target itself if it has none."""


def list_audit(
    store: Store, actor: Actor, wanted: AuditFilter, *, before_seq: int | None = None, limit: int = 100
) -> Sequence[AuditRow]:
    """Return audit rows with a `seq` below `before_seq`, newest first.

    Raises NotFound for an organisation that the actor cannot see.
    """

    def query(tx: Tx) -> Sequence[AuditRow]:
        found = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
        for condition in _conditions(tx, actor, wanted):
            found = found.where(condition)
        if before_seq is not None:
            found = found.where(audit.c.seq < before_seq)
        rows = [_row(row) for row in tx.rows(found)]
        names = names_of(tx, {row.target for row in rows})
        rows = [replace(row, target_name=names.get(row.target, row.target)) for row in rows]
        visible = actor.orgs_with("audit:read")
        return rows if visible is None else _without_foreign_credentials(tx, rows, visible)

    return store.read(query)


def verify_audit(store: Store, actor: Actor) -> AuditReport:
    """Verify the hash chain of the whole audit log. Raises Forbidden."""
    actor.require("audit:verify")
    return store.read(chain.verify)


def _conditions(tx: Tx, actor: Actor, wanted: AuditFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.org is not None:
        found.append(audit.c.org_id == find_org(tx, actor, wanted.org, "audit:read").id)
    elif (visible := actor.orgs_with("audit:read")) is not None:
        if not visible:
            actor.require("audit:read")
        found.append(audit.c.org_id.in_(sorted(visible)))
    if wanted.actor is not None:
        # A label is the login name, optionally followed by a space and the id of the key or session.
        named = audit.c.actor.startswith(wanted.actor + " ", autoescape=True)
        found.append((audit.c.actor == wanted.actor) | named)
    if wanted.action is not None and wanted.action.endswith("*"):
        found.append(audit.c.action.startswith(wanted.action[:-1], autoescape=True))
    elif wanted.action is not None:
        found.append(audit.c.action == wanted.action)
    if wanted.target is not None:
        found.append(audit.c.target == wanted.target)
    if wanted.from_us is not None:
        found.append(audit.c.at_us >= wanted.from_us)
    if wanted.to_us is not None:
        found.append(audit.c.at_us < wanted.to_us)
    return found


def _without_foreign_credentials(
    tx: Tx, rows: Sequence[AuditRow], visible: Collection[str]
) -> Sequence[AuditRow]:
    """Return the rows without the ids of sessions, and of keys not tied to an organisation in `visible`.

    These ids are private to the user: a session's id reveals when the user signed in.
    """
    used = {row.actor.partition(" ")[2] for row in rows}
    tied = sa.select(api_keys.c.id).where(api_keys.c.id.in_(used), api_keys.c.org_id.in_(visible))
    shown = set(tx.execute(tied).scalars())
    return [
        row if row.actor.partition(" ")[2] in shown else replace(row, actor=login_of(row.actor))
        for row in rows
    ]


def _row(row: RowMapping) -> AuditRow:
    return AuditRow(
        row["seq"],
        row["at_us"],
        row["actor"],
        row["org_id"],
        row["action"],
        row["target"],
        json.loads(row["details"]),
        row["hash"],
    )
