"""Puts the names of organisations and projects into reasons, which the planner writes with their ids."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pearlstreet.base.text import Text
from pearlstreet.compute.scheduling.plan import Reason
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.tables import orgs, projects


@dataclass(slots=True)
class ReasonNames:
    """The names of one transaction: each owner of a limit is looked up once."""

    tx: Tx
    _names: dict[str, str] = field(default_factory=dict)

    def name_owner(self, reason: Reason) -> Reason:
        """Return the reason with the slugs of the organisation and project that its limit belongs to."""
        owner = reason.message.params.get("owner")
        if owner is None:
            return reason
        message = self._named(reason.message, str(owner))
        details = tuple(
            replace(detail, message=message) if detail.message == reason.message else detail
            for detail in reason.details
        )
        return replace(reason, message=message, details=details)

    def _named(self, message: Text, owner: str) -> Text:
        if owner not in self._names:
            self._names[owner] = self._slugs(owner)
        return replace(message, params={**message.params, "owner": self._names[owner]})

    def _slugs(self, owner: str) -> str:
        """Return `org` or `org/project` by slug; what has no row any more keeps its id."""
        org_id, _, project_id = owner.partition("/")
        org = self.tx.scalar(sa.select(orgs.c.slug).where(orgs.c.id == org_id)) or org_id
        if not project_id:
            return str(org)
        project = self.tx.scalar(sa.select(projects.c.slug).where(projects.c.id == project_id)) or project_id
        return f"{org}/{project}"
