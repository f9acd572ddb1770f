"""Retention of outputs in days: the center's setting, a rule of the organisation or project, or the job's own value."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.compute.jobs.runtime import JobsSettings, Runtime
from pearlstreet.compute.jobs.tables import retention_rules
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org, find_project

DAY_US = 86_400 * US_PER_S
DAYS_MAX = 36_500
"""Maximum number of days: 100 years."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Days for which outputs are kept; 0: for ever. `project_id` None: the rule of the whole organisation."""

    org_id: str
    project_id: str | None
    days: int


def set_retention(
    store: Store, actor: Actor, runtime: Runtime, org: str, days: int, *, project: str | None = None
) -> RetentionRule:
    """Set how long new outputs are kept. Raises InvalidInput, NotFound, Forbidden.

    Only operators may set more than the center's setting; a project may not have more than its organisation.
    """
    if not 0 <= days <= DAYS_MAX:
        message = text("Days are from 0 (for ever) to {most}", most=DAYS_MAX)
        raise InvalidInput(message, problems=[Problem("days", message)])

    def command(tx: Tx) -> RetentionRule:
        org_id, project_id = _place(tx, actor, org, project, "retention:write")
        if not actor.may("quotas:write"):
            _refuse_longer(days, kept_days(tx, runtime.settings, org_id, None if project is None else ""))
        here = (retention_rules.c.org_id == org_id) & (retention_rules.c.project_id == project_id)
        if not tx.execute(sa.update(retention_rules).where(here).values(days=days)).rowcount:
            row = {"org_id": org_id, "project_id": project_id, "days": days}
            tx.execute(sa.insert(retention_rules).values(**row))
        details = {"project": project_id, "days": days}
        audit.record(
            tx, actor=actor.label, action="retention.set", target=org_id, org_id=org_id, details=details
        )
        return RetentionRule(org_id, project_id or None, days)

    return store.write(command)


def delete_retention(store: Store, actor: Actor, org: str, *, project: str | None = None) -> RetentionRule:
    """Delete a retention rule and return it. Raises NotFound."""

    def command(tx: Tx) -> RetentionRule:
        org_id, project_id = _place(tx, actor, org, project, "retention:write")
        here = (retention_rules.c.org_id == org_id) & (retention_rules.c.project_id == project_id)
        days = tx.scalar(sa.select(retention_rules.c.days).where(here))
        if days is None:
            raise NotFound(text("{org} has no such retention rule", org=org[:80]))
        tx.execute(sa.delete(retention_rules).where(here))
        details = {"project": project_id}
        audit.record(
            tx, actor=actor.label, action="retention.delete", target=org_id, org_id=org_id, details=details
        )
        return RetentionRule(org_id, project_id or None, int(days))

    return store.write(command)


def kept_days(tx: Tx, settings: JobsSettings, org_id: str, project_id: str | None) -> int:
    """Return the days that apply to a project; 0: for ever.

    `project_id` "": those of the organisation; None: the center's setting.
    """
    if project_id is None:
        return settings.outputs_kept_days
    places = ("", project_id)
    query = sa.select(retention_rules.c.project_id, retention_rules.c.days).where(
        retention_rules.c.org_id == org_id, retention_rules.c.project_id.in_(places)
    )
    rules = {row["project_id"]: int(row["days"]) for row in tx.rows(query)}
    return rules.get(project_id, rules.get("", settings.outputs_kept_days))


def shorter(days: int, other: int) -> int:
    """Return the shorter of two numbers of days, where 0 means for ever."""
    return min(days or DAYS_MAX + 1, other or DAYS_MAX + 1) % (DAYS_MAX + 1)


def refuse_longer_wish(
    tx: Tx, settings: JobsSettings, org_id: str, project_id: str, wish: int | None
) -> None:
    """Raise InvalidInput if a job requests longer retention than its project has."""
    if wish is None:
        return
    most = kept_days(tx, settings, org_id, project_id)
    if shorter(wish, most) != wish:
        message = plural(
            "Outputs of this project are kept for {count} day",
            "Outputs of this project are kept for {count} days",
            count=most,
        )
        hint = text("Give that many days or fewer, or leave outputs_kept_days out")
        raise InvalidInput(message, problems=[Problem("outputs_kept_days", message, hint=hint)])


def expiry_us(tx: Tx, settings: JobsSettings, org_id: str, project_id: str, wish: int | None) -> int | None:
    """Return when outputs that are stored now will be deleted, in µs since 1970; None: never."""
    days = kept_days(tx, settings, org_id, project_id)
    if wish is not None:
        days = shorter(days, wish)
    return tx.now_us + days * DAY_US if days else None


def _refuse_longer(days: int, most: int) -> None:
    if shorter(days, most) != days:
        message = plural(
            "At most {count} day is allowed here", "At most {count} days are allowed here", count=most
        )
        raise InvalidInput(
            message,
            problems=[Problem("days", message, hint=text("Ask the center's operator to keep for longer"))],
        )


def _place(tx: Tx, actor: Actor, org: str, project: str | None, scope: str) -> tuple[str, str]:
    if project is None:
        return find_org(tx, actor, org, scope).id, ""
    found = find_project(tx, actor, org, project, scope)
    return found.org_id, found.id
