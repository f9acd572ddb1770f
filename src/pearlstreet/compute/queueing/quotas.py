"""Commands and queries on quotas (how much may be used at once) and shares (weights of fair share)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.execution.fair_use import half_life_s
from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.queueing.fairness import load_accounts
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.compute.queueing.tables import shares
from pearlstreet.compute.scheduling.builder import QUOTA_KINDS
from pearlstreet.compute.scheduling.model import F64, Snapshot
from pearlstreet.compute.scheduling.order.fair_share import held
from pearlstreet.compute.scheduling.rows import tokens
from pearlstreet.storage.quota import STORAGE
from pearlstreet.storage.tables import quotas
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org, find_project
from pearlstreet.tenancy.reach import visible_rows

QUEUED_JOBS = "queued_jobs"
"""Resource name of a quota on waiting jobs; only its maximum applies."""
CENTER_MAX = 200_000
"""Maximum number of queued jobs of the center beyond the reserves of organisations."""
RESERVE = 1_000
"""Number of queued jobs of each organisation that do not count against the center's limit."""
MOST = 1e9
WEIGHT_MOST = 1e6


@dataclass(frozen=True, slots=True)
class QuotaWish:
    """A limit on one resource: `pflops`, `cards`, `cpus`, `cards:<model words>`, `queued_jobs` or `storage` (GiB).

    Waiting jobs and storage have only a maximum.
    """

    resource: str
    guaranteed: float | None = None
    """Amount that is always available to the owner."""
    maximum: float | None = None
    """Maximum amount at once; None: no limit."""
    borrow: bool = True
    """Whether idle capacity of others may be used beyond the guarantee."""


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """A stored quota. `project_id` None: it applies to the whole organisation."""

    id: str
    org_id: str
    project_id: str | None
    wish: QuotaWish


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A stored weight; the default is 1. `project_id` None: the weight of the organisation."""

    org_id: str
    project_id: str | None
    weight: float


def set_quota(
    store: Store, actor: Actor, org: str, wish: QuotaWish, *, project: str | None = None
) -> QuotaRow:
    """Set or replace an organisation's or project's quota on a resource. Raises InvalidInput, NotFound."""
    check_quota(wish)

    def command(tx: Tx) -> QuotaRow:
        org_id, project_id = _place(tx, actor, org, project, "quotas:write")
        here = (
            (quotas.c.org_id == org_id)
            & (quotas.c.project_id == project_id)
            & (quotas.c.resource == wish.resource)
        )
        found = tx.scalar(sa.select(quotas.c.id).where(here))
        values = {"guaranteed": wish.guaranteed, "maximum": wish.maximum, "borrow": wish.borrow}
        row_id = found or tx.new_id("qta")
        if found:
            tx.execute(sa.update(quotas).where(quotas.c.id == found).values(**values))
        else:
            place = {"org_id": org_id, "project_id": project_id, "resource": wish.resource}
            tx.execute(sa.insert(quotas).values(id=row_id, **place, **values))
        details = {"resource": wish.resource, "project": project_id, **values}
        audit.record(tx, actor=actor.label, action="quota.set", target=row_id, org_id=org_id, details=details)
        tx.hint(PLAN)
        return QuotaRow(row_id, org_id, project_id or None, wish)

    return store.write(command)


def list_quotas(store: Store, actor: Actor, org: str | None = None) -> Sequence[QuotaRow]:
    """Return the quotas of an organisation, or all that the actor may see."""

    def query(tx: Tx) -> Sequence[QuotaRow]:
        found = sa.select(quotas).order_by(quotas.c.org_id, quotas.c.project_id, quotas.c.resource)
        visible = visible_rows(tx, actor, "quotas:read", quotas, org=org)
        return [_quota(row) for row in tx.rows(found.where(visible))]

    return store.read(query)


def delete_quota(store: Store, actor: Actor, quota_id: str) -> QuotaRow:
    """Delete a quota and return it. Raises NotFound."""

    def command(tx: Tx) -> QuotaRow:
        absent = text("There is no quota {quota}", quota=quota_id[:80])
        row = tx.first(sa.select(quotas).where(quotas.c.id == quota_id))
        if row is None:
            raise NotFound(absent)
        actor.require("quotas:write", row["org_id"], row["project_id"] or None, missing=absent)
        tx.execute(sa.delete(quotas).where(quotas.c.id == quota_id))
        details = {"resource": row["resource"]}
        audit.record(
            tx,
            actor=actor.label,
            action="quota.delete",
            target=quota_id,
            org_id=row["org_id"],
            details=details,
        )
        tx.hint(PLAN)
        return _quota(row)

    return store.write(command)


def set_share(store: Store, actor: Actor, org: str, weight: float, *, project: str | None = None) -> ShareRow:
    """Set the weight of an organisation among organisations, or of a project in its organisation; 1 is the default."""
    if not (math.isfinite(weight) and 0 < weight <= WEIGHT_MOST):
        message = text("A weight is more than 0 and at most {most}", most=int(WEIGHT_MOST))
        raise InvalidInput(message, problems=[Problem("weight", message)])

    def command(tx: Tx) -> ShareRow:
        org_id, project_id = _place(tx, actor, org, project, "quotas:write")
        here = (shares.c.org_id == org_id) & (shares.c.project_id == project_id)
        if not tx.execute(sa.update(shares).where(here).values(weight=weight)).rowcount:
            tx.execute(sa.insert(shares).values(org_id=org_id, project_id=project_id, weight=weight))
        _note_share(tx, actor, org_id, project_id, weight)
        return ShareRow(org_id, project_id or None, weight)

    return store.write(command)


def delete_share(store: Store, actor: Actor, org: str, *, project: str | None = None) -> ShareRow:
    """Reset a weight to 1; without a stored weight nothing changes."""

    def command(tx: Tx) -> ShareRow:
        org_id, project_id = _place(tx, actor, org, project, "quotas:write")
        here = (shares.c.org_id == org_id) & (shares.c.project_id == project_id)
        if tx.execute(sa.delete(shares).where(here)).rowcount:
            _note_share(tx, actor, org_id, project_id, 1.0)
        return ShareRow(org_id, project_id or None, 1.0)

    return store.write(command)


def list_shares(store: Store, actor: Actor, org: str | None = None) -> Sequence[ShareRow]:
    """Return the stored weights of an organisation, or all that the actor may see."""

    def query(tx: Tx) -> Sequence[ShareRow]:
        found = sa.select(shares).order_by(shares.c.org_id, shares.c.project_id)
        rows = tx.rows(found.where(visible_rows(tx, actor, "quotas:read", shares, org=org)))
        return [ShareRow(row["org_id"], row["project_id"] or None, row["weight"]) for row in rows]

    return store.read(query)


def check_quota(wish: QuotaWish) -> None:
    """PURE: raise InvalidInput for a quota that cannot be enforced."""
    if wish.resource == QUEUED_JOBS:
        _check_queued_jobs(wish)
        return
    problems = []
    kind, colon, pattern = wish.resource.partition(":")
    if wish.resource == STORAGE:
        if wish.guaranteed is not None:
            problems.append(Problem("guaranteed", text("Storage has a maximum only, in GiB")))
    elif (
        kind not in QUOTA_KINDS
        or (colon and (kind != "cards" or not tokens(pattern)))
        or len(wish.resource) > 80
    ):
        message = text(
            "A quota is on pflops, cards, cpus, cards:<model>, queued_jobs or storage, not on {resource}",
            resource=wish.resource[:80],
        )
        problems.append(Problem("resource", message, hint=text("Such as cards:H100 for one model")))
    for name, value in (("guaranteed", wish.guaranteed), ("maximum", wish.maximum)):
        if value is not None and not (math.isfinite(value) and 0 <= value <= MOST):
            problems.append(Problem(name, text("It must be from 0 to {most}", most=int(MOST))))
    if wish.guaranteed is None and wish.maximum is None:
        problems.append(Problem("maximum", text("Give guaranteed, maximum, or both")))
    elif wish.guaranteed is not None and wish.maximum is not None and wish.guaranteed > wish.maximum:
        problems.append(Problem("maximum", text("The maximum is less than what is guaranteed")))
    if problems:
        raise InvalidInput(text("The quota is not usable"), problems=problems)


def _check_queued_jobs(wish: QuotaWish) -> None:
    problems = []
    if wish.guaranteed is not None:
        message = text("Waiting jobs have no guarantee, only a maximum")
        hint = text("{reserve} of each organisation can always wait", reserve=RESERVE)
        problems.append(Problem("guaranteed", message, hint=hint))
    most = wish.maximum
    if most is None or not (math.isfinite(most) and 0 <= most <= CENTER_MAX and most == int(most)):
        problems.append(Problem("maximum", text("It is a whole number from 0 to {most}", most=CENTER_MAX)))
    if problems:
        raise InvalidInput(text("The quota is not usable"), problems=problems)


@dataclass(frozen=True, slots=True)
class FairShareStanding:
    """Position of a project in the order of fair share; the smallest rank is served first."""

    rank: int
    org_id: str
    project_id: str
    org_weight: float
    weight: float
    org_share: float
    """Dominant share of the center that the organisation holds, including past usage, divided by its weight."""
    share: float
    """Dominant share of the center that the project holds, including past usage, divided by its weight."""
    dominant: str
    """Resource of which the project holds the largest share: `pflops`, `cpu` or `memory`."""
    recent: Mapping[str, float]
    """Past usage, decayed with the half-life: PFLOPS·h, CPU·h, memory GiB·h."""
    why: Text


_RESOURCES = ("pflops", "cpu", "memory")


def fair_share(
    store: Store, actor: Actor, runtime: QueueingRuntime
) -> tuple[float, Sequence[FairShareStanding]]:
    """Return the half-life in seconds and the order of projects with reasons; tenants see only their organisations' rows."""

    def query(tx: Tx) -> tuple[float, Sequence[FairShareStanding]]:
        visible = actor.orgs_with("quotas:read")
        snapshot = runtime.planner_status.snapshot()
        half_life = half_life_s(tx)
        known = {(item.org, item.project): item.usage for item in load_accounts(tx)}
        if snapshot is None:
            return half_life, []
        recent = {
            key: {"pflops_h": use.pflops_h, "cpu_h": use.cpu_h, "memory_gib_h": use.memory_gib_h}
            for key, use in known.items()
        }
        found = standings(snapshot, half_life, recent)
        return half_life, [row for row in found if visible is None or row.org_id in visible]

    return store.read(query)


def standings(
    snapshot: Snapshot, half_life: float, recent: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[FairShareStanding]:
    """PURE: return every project with present or past usage or waiting jobs, in the order in which the planner serves them."""
    accounts = snapshot.accounts
    by_project = held(snapshot, half_life)
    by_org = np.zeros((len(accounts.orgs), 3))
    np.add.at(by_org, accounts.project_org, by_project)
    org_tag = by_org.max(axis=1, initial=0.0) / np.maximum(accounts.org_weight, 1e-9)
    tag = by_project.max(axis=1, initial=0.0) / np.maximum(accounts.project_weight, 1e-9)
    ordered = np.lexsort((tag, org_tag[accounts.project_org]))
    none = {"pflops_h": 0.0, "cpu_h": 0.0, "memory_gib_h": 0.0}
    found = []
    for rank, p in enumerate(ordered, start=1):
        o = int(accounts.project_org[p])
        org_id, project_id = str(accounts.orgs[o]), str(accounts.projects[p])
        dominant = _RESOURCES[int(by_project[p].argmax())]
        found.append(
            FairShareStanding(
                rank=rank,
                org_id=org_id,
                project_id=project_id,
                org_weight=float(accounts.org_weight[o]),
                weight=float(accounts.project_weight[p]),
                org_share=float(org_tag[o]),
                share=float(tag[p]),
                dominant=dominant,
                recent=recent.get((org_id, project_id), none),
                why=_why(by_project[p], accounts.project_weight[p], by_org[o], accounts.org_weight[o]),
            )
        )
    return found


def _why(project: F64, weight: float, org: F64, org_weight: float) -> Text:
    """Return the reason for a project's position: the shares held by its organisation, which count first, and by itself."""
    if not org.any():
        return text("Its organisation has used nothing lately, so it goes first")
    of_org = text(
        "its organisation holds {percent} % of the center's {resource}, at weight {weight}",
        **_largest(org, org_weight),
    )
    if not project.any():
        return text("It has used nothing lately; {organisation}", organisation=of_org)
    return text(
        "With recent and present use it holds {percent} % of the center's {resource}, at weight {weight}; {organisation}",
        **_largest(project, weight),
        organisation=of_org,
    )


def _largest(share: F64, weight: float) -> dict[str, object]:
    """Return percentage, label and weight of the resource with the largest share."""
    return {
        "percent": f"{100 * float(share.max()):.3g}",
        "resource": _LABELS[_RESOURCES[int(share.argmax())]],
        "weight": f"{float(weight):g}",
    }


_LABELS = {"pflops": text("compute (PFLOPS)"), "cpu": text("CPU cores"), "memory": text("memory")}


def _place(tx: Tx, actor: Actor, org: str, project: str | None, scope: str) -> tuple[str, str]:
    if project is None:
        return find_org(tx, actor, org, scope).id, ""
    found = find_project(tx, actor, org, project, scope)
    return found.org_id, found.id


def _note_share(tx: Tx, actor: Actor, org_id: str, project_id: str, weight: float) -> None:
    details = {"project": project_id, "weight": weight}
    audit.record(tx, actor=actor.label, action="share.set", target=org_id, org_id=org_id, details=details)
    tx.hint(PLAN)


def _quota(row: Row) -> QuotaRow:
    wish = QuotaWish(row["resource"], row["guaranteed"], row["maximum"], row["borrow"])
    return QuotaRow(row["id"], row["org_id"], row["project_id"] or None, wish)
